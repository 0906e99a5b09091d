"""Long jobs: verify, copy, import, export; told about, and stopped."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
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


def test_progress(tmp_path):
    told = []
    with pinako.open(tmp_path / "s", "w") as store:
        store.append(pictures(50))
        store.verify(progress=lambda done, total: told.append((done, total)))
        # Who is told may use the store meanwhile.
        store.copy_to("memory:", progress=lambda done, total: told.append((store[0][0, 0, 0], len(store))))
        assert told and all(done <= total for done, total in told[:1])
        assert told[-1][1] == 50


def test_progress_that_raises(tmp_path):
    class Enough(Exception):
        pass

    def tell(done, total):
        raise Enough

    with pinako.open(tmp_path / "s", "w") as store:
        store.append(pictures(50))
        for job in (store.verify, lambda progress: store.copy_to("memory:", progress=progress)):
            with pytest.raises(Enough):
                job(progress=tell)
        with pytest.raises(TypeError):
            store.verify(progress=3)
        assert len(store) == 50 and store.verify() == []


def test_closing_while_a_job_is_at_work(tmp_path):
    with pinako.open(tmp_path / "s", "w") as store:
        store.append(pictures(50))
        store.verify(progress=lambda done, total: store.close())
        assert store.closed


INTERRUPTED = """
import os, sys, time, pinako
job, url = sys.argv[1:]
with pinako.open(url) as store:
    def tell(done, total):
        print("at work", flush=True)
        tell.times = getattr(tell, "times", 0) + 1
    try:
        for _ in range(10_000):
            if job == "verify":
                store.verify(progress=tell)
            else:
                store.copy_to("memory:", progress=tell)
    except KeyboardInterrupt:
        print("stopped", store[0].shape, store.verify(), flush=True)
"""


@pytest.mark.parametrize("job", ["verify", "copy"])
def test_ctrl_c(tmp_path, job):
    with pinako.open(tmp_path / "s", "w") as store:
        store.append(pictures(300, 64, 64), encoding="png")
    command = [sys.executable, "-c", INTERRUPTED, job, str(tmp_path / "s")]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    try:
        assert child.stdout.readline() == "at work\n"
        child.send_signal(signal.SIGINT)
        started = time.monotonic()
        said, _ = child.communicate(timeout=20)
        assert said.endswith("stopped (64, 64, 3) []\n")
        assert child.returncode == 0 and time.monotonic() - started < 15
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
