"""Pictures for tests, and what kinds of stores there are."""

from __future__ import annotations

import os
import signal
import time
import traceback

import numpy as np

#: Kinds of stores on the disk, and what a store of each is called here.
ON_DISK = {"lmdb": "store", "sqlite": "store.db", "hdf5": "store", "files": "store", "object": "store"}


def pictures(count, height=8, width=6, channels=3, dtype="uint8", seed=0):
    """Random pictures: N,H,W,C."""
    random = np.random.default_rng(seed)
    shape = (count, height, width, channels)
    if np.dtype(dtype).kind == "f":
        return random.standard_normal(shape).astype(dtype)
    bounds = np.iinfo(dtype)
    return random.integers(bounds.min, bounds.max, shape, dtype, endpoint=True)


def forked(work, seconds=30):
    """Runs ``work`` in a fork of this process; whether it went well before the time was up."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise TimeoutError(f"the fork was still at work after {seconds} s")


def sums(store, ids):
    """What images are known by, in three ways of reading them; here, since workers have to find it by its name."""
    one = [int(store[int(i)].sum()) for i in ids]
    assert store[ids].sum((1, 2, 3)).tolist() == one
    return one, [int(store.region(int(i), 1, 1, 4, 4).sum()) for i in ids]
