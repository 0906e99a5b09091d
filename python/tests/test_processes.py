"""One store in many processes and threads: the same images, no deadlock, no handle left open."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from samples import ON_DISK, forked, pictures, sums

import pinako

#: Nothing here takes longer, unless it waits for ever.
PATIENCE = 60

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


#: Servers that the repository's tests start, and where they say that these are.
SERVERS = {"s3": "PINAKO_TEST_S3", "postgres": "PINAKO_TEST_POSTGRES"}


@pytest.fixture(params=[*sorted(ON_DISK), *SERVERS])
def url(request, tmp_path):
    """Where a store of each kind is to be: on the disk, and on the servers that run."""
    if request.param in ON_DISK:
        return f"{request.param}:{tmp_path / ON_DISK[request.param]}"
    server = os.environ.get(SERVERS[request.param])
    if server is None:
        pytest.skip(f"no server for {request.param}: start the tests by scripts/servers.py")
    own = f"python_{os.getpid()}_{time.time_ns()}"
    return f"{server}?schema={own}" if request.param == "postgres" else f"{server}/{own}"


@pytest.fixture
def store(url):
    with pinako.open(url, "w") as store:
        store.append(pictures(20), labels=range(20), names=[f"{n}" for n in range(20)])
        yield store


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_see_the_same(store, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    parts = np.array_split(np.arange(20), 4)
    wanted = [sums(store, part) for part in parts]
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        waiting = [pool.submit(sums, store, part) for part in parts]
        # The parent goes on reading meanwhile.
        assert sums(store, parts[0]) == wanted[0]
        assert [one.result(PATIENCE) for one in waiting] == wanted


def test_threads_see_the_same(store):
    parts = np.array_split(np.arange(20), 4)
    wanted = [sums(store, part) for part in parts]
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(sums, store, parts[n % 4]) for n in range(16)]
        assert [one.result(PATIENCE) for one in waiting] == wanted * 4


def test_a_fork_inherits_an_open_store(store):
    images = store[:]
    assert forked(lambda: np.testing.assert_array_equal(store[:], images))
    np.testing.assert_array_equal(store[:], images)
    # One that did not read before, either.
    assert forked(lambda: np.testing.assert_array_equal(store["3"], images[3]))


@pytest.mark.parametrize("encoding", ["hilbert:64", "row", "png"])
def test_a_fork_after_large_images_were_read(tmp_path, encoding):
    """By several threads, of which a fork has none: each way of reading is to find others there."""
    images = pictures(2, 1200, 1500)
    with pinako.open(tmp_path / "s", "w") as store:
        store.append(images, encoding=encoding)

        def read():
            np.testing.assert_array_equal(store[1], images[1])
            np.testing.assert_array_equal(store[:], images)
            np.testing.assert_array_equal(store.region(1, 10, 20, 1400, 1100), images[1, 20:1120, 10:1410])
            np.testing.assert_array_equal(store.regions([(0, 0, 0, 9, 9), (1, 0, 0, 9, 9)]), images[:, :9, :9])
            np.testing.assert_array_equal(next(iter(store)), images[0])
            assert store.verify() == []

        read()
        assert forked(read, PATIENCE)


def test_a_fork_in_a_fork(store):
    images = store[:]

    def child():
        np.testing.assert_array_equal(store[:], images)
        assert forked(lambda: np.testing.assert_array_equal(store[[1, 2]], images[1:3]))
        np.testing.assert_array_equal(store[3], images[3])

    assert forked(child, PATIENCE)
    assert store.verify() == []


def test_a_fork_that_appends(store):
    assert forked(lambda: store.append(pictures(2, seed=1), names=["x", "y"]))
    assert len(store) == 22 and "y" in store
    assert store.append(pictures(1)) == range(22, 23)
    assert store.verify() == []


def test_a_fork_before_the_first_image(url):
    """Such a store is not on the disk yet, in any mode."""
    for mode in ("w", "a"):
        with pinako.open(f"{url}-{mode}", mode) as store:
            assert forked(lambda: len(store))
            assert len(store) == 0
            assert store.append(pictures(1)) == range(1)
            assert forked(lambda: store[0])


def test_forks_while_threads_read(store):
    images = store[:]
    stop, failed = threading.Event(), []

    def read():
        try:
            while not stop.is_set():
                np.testing.assert_array_equal(store[5:9], images[5:9])
                store[0]
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(8):
            assert forked(lambda: np.testing.assert_array_equal(store[:], images), PATIENCE)
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE)
    assert not failed and not any(thread.is_alive() for thread in threads)


def test_forks_by_many_threads_at_once(store):
    images = store[:]
    with ThreadPoolExecutor(3) as pool:
        check = lambda: np.testing.assert_array_equal(store[:], images)  # noqa: E731
        waiting = [pool.submit(forked, check, PATIENCE) for _ in range(6)]
        assert all(one.result(2 * PATIENCE) for one in waiting)


def test_a_fork_while_a_job_tells(store, large_file):
    store.append([large_file] * 3)
    children = []
    store.verify(progress=lambda done, total: children.append((done < total, forked(lambda: store[0], PATIENCE))))
    assert children[0] == (True, True)


def test_calls_go_on_while_a_fork_waits_for_a_job(tmp_path, large_file):
    children, told = [], []
    fork = threading.Thread(target=lambda: children.append(forked(lambda: other[0], PATIENCE)))

    def tell(done, total):
        if not told:
            fork.start()
        other[0]
        told.append(done < total)

    with pinako.open(tmp_path / "other", "w") as other, pinako.open(tmp_path / "s", "w") as store:
        other.append(pictures(1))
        store.append([large_file] * 6)
        store.verify(progress=tell)
        fork.join(PATIENCE)
    assert children == [True] and all(told[:3]), "the job was still at work when another store had been read"


HOOKED = """
import os, sys
hook, when, url = sys.argv[1:]
done = []
def use():
    store[0], store.verify(), len(store.labels)
    with pinako.open(url) as other:
        other[1]
    done.append(os.getpid())
if when == "registered first":
    os.register_at_fork(**{hook: use})
import pinako
if when == "registered last":
    os.register_at_fork(**{hook: use})
store = pinako.open(url, "a")
store[0]
child = os.fork()
if child == 0:
    if hook == "before":
        numbers = [n for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")]
        assert not [n for n in numbers if os.readlink(f"/proc/self/fd/{n}").startswith(url.split(":")[1])]
    store[1], store.verify()
    assert hook != "after_in_child" or done == [os.getpid()]
    os._exit(0)
store[1], store.verify()
assert os.waitpid(child, 0)[1] == 0, "the child"
assert hook == "after_in_child" or done == [os.getpid()]
print("fine")
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="there is no /proc here")
@pytest.mark.parametrize("when", ["registered first", "registered last"])
@pytest.mark.parametrize("hook", ["before", "after_in_parent", "after_in_child"])
def test_fork_hooks_may_use_stores(tmp_path, hook, when):
    for scheme in ("lmdb", "sqlite"):
        url = f"{scheme}:{tmp_path / ON_DISK[scheme]}"
        with pinako.open(url, "w") as store:
            store.append(pictures(2))
        command = [sys.executable, "-c", HOOKED, hook, when, url]
        ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=PATIENCE)
        assert ended.stdout == "fine\n"


def test_a_store_that_is_gone_is_not_made_anew(tmp_path):
    """Neither by the pickle of a store that had images nor after a fork; that of one without images makes it."""
    for mode in ("w", "a"):
        path, gone = tmp_path / mode, tmp_path / f"{mode}-gone"
        with pinako.open(path, mode) as store:
            before = pickle.dumps(store)
            store.append(pictures(1))
            after = pickle.dumps(store)
            passed_on = pickle.dumps(pickle.loads(after))
            assert forked(lambda: store[0])
            # It was closed for the fork, and nobody has used it since then.
            path.rename(gone)
            forked_off = pickle.dumps(store)
            with pytest.raises(FileNotFoundError):
                len(store)
        for pickled in (after, passed_on, forked_off):
            with pickle.loads(pickled) as other, pytest.raises(FileNotFoundError):
                other.append(pictures(1))
        assert not path.exists()
        with pickle.loads(before) as other:
            assert other.append(pictures(1)) == range(1)


def test_what_an_unpickled_store_is_called_is_known_before_it_is_opened(tmp_path):
    with pinako.open(tmp_path / "s", "w") as store:
        store.append(pictures(1))
    with pinako.open(tmp_path / "s") as store:
        pickled = pickle.dumps(store)
    (tmp_path / "s").rename(tmp_path / "gone")
    with pickle.loads(pickled) as other:
        assert repr(other) == f"<pinako.Store lmdb:{tmp_path / 's'}>" and not other.closed
        with pytest.raises(FileNotFoundError):
            len(other)


def test_no_password_is_shown(url):
    if not url.startswith("postgres:"):
        pytest.skip("no password")
    given = url.replace("@", ":hunter2@", 1)
    with pinako.open(given, "a") as store:
        store.append(pictures(1))
        with pickle.loads(pickle.dumps(store)) as other:
            assert "***" in repr(other) and "hunter2" not in repr(other) and len(other) == 1
        for index in ("no such name", 7, -7, 1 << 70, ["no such name"], [7], [-7]):
            with pytest.raises(pinako.ImageNotFoundError) as caught:
                store[index]
            assert "hunter2" not in str(caught.value) and caught.value.store == store.url


def test_a_closed_store_stays_closed_in_a_fork(store):
    store.close()

    def child():
        with pytest.raises(ValueError, match="closed"):
            store[0]

    assert forked(child)
    assert store.closed


def test_closing_in_a_fork_is_the_fork_s_own(store):
    assert forked(store.close)
    assert not store.closed and len(store) == 20


def handles():
    """The files and the connections that this process has open."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            pass
    return sorted(found)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="there is no /proc here")
def test_no_handle_is_left_open(url, store):
    def use(times):
        for _ in range(times):
            with pinako.open(url) as other:
                other[:]
                pickle.loads(pickle.dumps(other))[0]
                assert forked(lambda: other[0])
                other[1]

    store.close()
    use(2)  # what the process keeps for good, it has now
    before = handles()
    use(5)
    assert kinds(handles()) == kinds(before)


def kinds(handles):
    """Connections have numbers that are new each time."""
    return sorted(handle.split("[")[0] for handle in handles)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="there is no /proc here")
def test_a_fork_has_no_handle_of_its_parent_s_store(url, store):
    store.close()
    before = set(handles())
    with pinako.open(url) as other:
        other[:]
        own = set(handles()) - before
        assert own or url.startswith(("files:", "object:", "s3:")), "it has something open"

        def child():
            assert not own & set(handles())

        assert forked(child)
        other[:]
        own |= set(handles()) - before
    assert not own & set(handles())


def test_memory_goes_with_a_fork():
    images = pictures(4)
    with pinako.open("memory:", "w") as store:
        store.append(images)

        def child():
            np.testing.assert_array_equal(store[:], images)
            store.append(images)
            assert len(store) == 8

        assert forked(child)
        assert len(store) == 4
        np.testing.assert_array_equal(store[:], images)


def test_opening_and_forking_at_once(store):
    stop = threading.Event()

    def reopen():
        while not stop.is_set():
            with pinako.open(store.url) as other:
                other[0]

    thread = threading.Thread(target=reopen)
    thread.start()
    try:
        for _ in range(5):
            assert forked(lambda: store[0], PATIENCE)
    finally:
        stop.set()
        thread.join(PATIENCE)
    assert not thread.is_alive()
