"""Long jobs: verify, copy, import, export; told about, and stopped."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from samples import pictures

import pinako


def damage(folder, image):
    """Turns a bit of an image where a store keeps it."""
    needle = image.tobytes()[:40]
    for path in folder.rglob("*"):
        content = bytearray(path.read_bytes()) if path.is_file() else b""
        place = content.find(needle)
        if place >= 0:
            content[place + 7] ^= 1
            path.write_bytes(content)
            return
    raise AssertionError("no file has the image")


def test_verify_of_a_damaged_store(tmp_path):
    images = pictures(10)
    with pinako.open(tmp_path / "s", "w") as store:
        store.append(images, names=[f"picture {n}" for n in range(10)])
        assert store.verify() == []
    damage(tmp_path / "s", images[4])
    with pinako.open(tmp_path / "s") as store:
        (problem,) = store.verify()
        assert (problem.id, problem.name) == (4, "picture 4")
        assert isinstance(problem.error, pinako.CorruptError) and problem.error.image == 4
        for ask in (lambda: store[4], lambda: store[:], lambda: store.take([4], np.empty((1, 8, 6, 3), np.uint8))):
            with pytest.raises(pinako.CorruptError):
                ask()
        np.testing.assert_array_equal(store[5:], images[5:])
        assert pickle.loads(pickle.dumps(problem.error)).image == 4
    with pinako.open(tmp_path / "s", verify_checksums=False) as store:
        assert (store[4] != images[4]).sum() == 1
    with pinako.open(tmp_path / "s", "a") as store:
        assert store.remove(4) == 1
        assert store.verify() == []


def test_copies(tmp_path, kind):
    images = pictures(5)
    with pinako.open(tmp_path / "from", "w") as store:
        store.append(images, labels=range(5), names=list("abcde"), attributes=[{"n": n} for n in range(5)])
        store.label_names = ["v", "w", "x", "y", "z"]
        to = f"{kind}:{tmp_path / 'to'}"
        copied = store.copy_to(to)
        assert (copied.images, copied.present) == (5, 0) and copied.bytes >= images.nbytes
        assert store.copy_to(to).present == 5
        with pinako.open(to, "a") as other:
            np.testing.assert_array_equal(other[:], images)
            assert other.label_names == store.label_names and other.info("c").attributes == {"n": 2}
            assert store.copy_to(other).present == 5
        with pytest.raises(ValueError):
            store.copy_to(store)
        with pinako.open(to) as other, pytest.raises(PermissionError):
            store.append(images)
            store.copy_to(other)
        with pytest.raises(TypeError):
            store.copy_to(None)


def test_imports(tmp_path):
    images = pictures(6)
    np.save(tmp_path / "many.npy", images)
    with pinako.open(tmp_path / "s", "w") as store:
        done = store.import_from(tmp_path / "many.npy", name_prefix="x/")
        assert (done.images, done.present, list(done.skipped)) == (6, 0, [])
        assert store.import_from(str(tmp_path / "many.npy"), name_prefix="x/").present == 6
        np.testing.assert_array_equal(store[:], images)
        assert store.info(0).name.startswith("x/")
        with pytest.raises(FileNotFoundError):
            store.import_from(tmp_path / "nothing")
        with pytest.raises(ValueError):
            store.import_from(tmp_path / "many.npy", encoding="no such")
        with pytest.raises(TypeError):
            store.import_from(None)


def test_what_an_import_leaves_out(tmp_path):
    with pinako.open(tmp_path / "made", "w") as store:
        store.append(pictures(2))
        store.export_to(tmp_path / "files", format="folders")
    (tmp_path / "files" / "bad.png").write_bytes(b"no image")
    with pinako.open(tmp_path / "s", "w") as store:
        with pytest.raises(pinako.PinakoError, match="bad.png"):
            store.import_from(tmp_path / "files")
        done = store.import_from(tmp_path / "files", skip_bad=True)
        assert done.images + done.present == 2 and len(done.skipped) == 1 and "bad.png" in done.skipped[0]


def test_exports(tmp_path):
    images = pictures(4, 32, 32)
    with pinako.open(tmp_path / "s", "w") as store:
        store.append(images, labels=[0, 1, 1, 0])
        done = store.export_to(tmp_path / "out.npy")
        assert done.images == 4
        np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), images)
        np.testing.assert_array_equal(np.load(tmp_path / "out.labels.npy"), [0, 1, 1, 0])
        for form, name in (("folders", "out"), ("hdf5", "out.h5"), ("cifar-python", "cifar")):
            assert store.export_to(tmp_path / name, format=form).images == 4
            assert (tmp_path / name).exists()
        with pytest.raises(ValueError, match="folders, npy"):
            store.export_to(tmp_path / "x", format="gif")


def test_progress(tmp_path, large_file):
    told = []

    def tell(done, total):
        # Who is told may use the store meanwhile.
        told.append((done, total, len(store), store[-1].shape))

    with pinako.open(tmp_path / "s", "w") as store:
        store.append([large_file] * 5)
        store.append(pictures(1))
        assert store.verify(progress=tell) == []
        assert told[0][0] < 6 and told[-1][0] == 6, "it is told before the end, and of the end"
        assert told == sorted(told) and {tuple(rest) for _, *rest in told} == {(6, 6, (8, 6, 3))}
        told.clear()
        store.copy_to("memory:", progress=tell)
        assert told[-1][:2] == (6, 6)


def test_progress_that_raises(tmp_path, large_file):
    class Enough(Exception):
        pass

    told = []

    def tell(done, total):
        told.append((done, total))
        raise Enough

    with pinako.open(tmp_path / "s", "w") as store:
        store.append([large_file] * 5)
        with pytest.raises(Enough):
            store.verify(progress=tell)
        assert len(told) == 1 and told[0][0] < told[0][1] == 5
        with pytest.raises(Enough):
            store.copy_to("memory:", progress=tell)
        with pytest.raises(TypeError):
            store.verify(progress=3)
        assert len(store) == 5 and store.copy_to("memory:").images == 5


def test_closing_waits_for_a_job_at_work(tmp_path, large_file):
    told = []

    def tell(done, total):
        told.append((done, store.closed))
        store.close()
        with pytest.raises(ValueError, match="closed"):
            store[0]

    with pinako.open(tmp_path / "s", "w") as store:
        store.append([large_file] * 5)
        assert store.verify(progress=tell) == []
        assert store.closed
    (first, was_closed), *rest = told
    assert first < 5 and not was_closed and rest == [(5, True)]


def test_whether_a_store_is_closed_is_known_while_closing_it_waits(tmp_path, large_file):
    closing, seen = [], []

    def tell(done, total):
        if not closing:
            closing.append(threading.Thread(target=store.close))
            closing[0].start()
        while not store.closed:
            time.sleep(0.001)
        seen.append(done)

    with pinako.open(tmp_path / "s", "w") as store:
        store.append([large_file] * 5)
        store.verify(progress=tell)
        closing[0].join()
    assert seen[1] < 5, "the job was still at work"


def test_closing_beside_calls_on_all_cores(tmp_path):
    """A thread of the pool that waits for a lock does so on behalf of whoever holds it, and for ever."""
    with pinako.open(tmp_path / "s", "w") as store:
        store.append(pictures(300, 64, 64), encoding="png")

    def use(call):
        try:
            for _ in range(20):
                call()
        except ValueError as error:
            assert "closed" in str(error)

    for n in range(10):
        store = pinako.open(tmp_path / "s")
        calls = (store.verify, store.verify, lambda: store[:], lambda: store.copy_to("memory:"))
        threads = [threading.Thread(target=use, args=(call,), daemon=True) for call in calls]
        for thread in threads:
            thread.start()
        time.sleep(0.01 + n * 0.002)
        threads.append(threading.Thread(target=store.close, daemon=True))
        threads[-1].start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()


INTERRUPTED = """
import signal, sys, pinako
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a script that tests in the background has ignored
with pinako.open(sys.argv[1]) as store:
    def tell(done, total):
        tell.last = done
        if done < total:
            print("at work", flush=True)
    try:
        store.verify(progress=tell)
    except KeyboardInterrupt:
        print("stopped", tell.last < len(store), store.region(0, 0, 0, 2, 2).shape, flush=True)
"""


def test_ctrl_c(tmp_path, large_file):
    with pinako.open(tmp_path / "s", "w") as store:
        store.append([large_file] * 15)
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path / "s")]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    try:
        assert child.stdout.readline() == "at work\n"
        child.send_signal(signal.SIGINT)
        said, _ = child.communicate(timeout=60)
        assert said.endswith("stopped True (2, 2, 1)\n")
        assert child.returncode == 0
    finally:
        child.kill()
        child.wait()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no such timer")
def test_a_large_read_hears_signals_before_it_ends():
    """Which are heard between two pieces of 256 MiB: the last has not been touched then."""
    images = 12

    def ring(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, ring)
    try:
        with pinako.open("memory:", "w") as store:
            store.append(np.ones((1, 4096, 4096, 4), np.uint8), encoding="raw")
            out = np.zeros((images, 4096, 4096, 4), np.uint8)
            with pytest.raises(TimeoutError):
                signal.setitimer(signal.ITIMER_REAL, 0.001)
                store.take([0] * images, out=out)
            assert out[-1, 0, 0, 0] == 0
            store.take([0] * images, out=out)
            assert out[-1].all()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_compact_footprint_and_vacuum(tmp_path):
    with pinako.open(f"object:{tmp_path / 's'}", "w") as store:
        for n in range(3):
            store.append(pictures(2, seed=n))
        store.remove([0, 1])
        before = store.footprint
        store.compact()
        assert store.footprint[1] == before[1] == 4 * 8 * 6 * 3
        assert store.vacuum(3600, dry_run=True) == store.vacuum() == (0, 0)
        assert len(store) == 4 and store.verify() == []
        # Others may still be reading what was replaced just now.
        with pytest.raises(ValueError, match="hour"):
            store.vacuum(0)
        for wrong in (-1, float("nan"), float("inf"), 1e30):
            with pytest.raises(ValueError, match="no number of seconds"):
                store.vacuum(wrong)
        assert store.vacuum(1e18) == (0, 0)
