"""Which kind of store suits these images on this machine? What ``pinako bench stores`` measures, for notebooks.

>>> report = pinako.bench.stores("report", counts=[1, 100, 10_000], data="photos/")
>>> print(report["recommendation"]["headline"])
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import Any

from . import _pinako
from ._store import Url

__all__ = ["stores"]


def stores(
    out: Url,
    *,
    counts: Sequence[int] | None = None,
    backends: Sequence[str] | None = None,
    data: Url | None = None,
    folder: Url | None = None,
    repetitions: int = 3,
    seed: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> dict[str, Any]:
    """Stores and reads images in each kind of store, writes a report with plots into the folder ``out``, and returns what
    is in its ``report.json``.

    Args:
        out: a new folder, an empty one, or one with an older report.
        counts: how many images to store; unless given, 1 to 100,000.
        backends: which kinds, or URLs of servers; unless given, files, lmdb, hdf5 and sqlite.
        data: the images: whatever :meth:`pinako.Store.import_from` takes; unless given, some are made up.
        folder: on the disk to measure; unless given, ``out``.
        repetitions: how often everything is measured at the largest count.
        seed: makes other images up, and reads others at random.
        progress: told from time to time how many images are done, and of how many.
    """
    if isinstance(backends, str):
        raise TypeError(f"backends is a text: give a list, [{backends!r}]")
    found: dict[str, Any] = json.loads(
        _pinako.bench_stores(
            os.fspath(out),
            None if counts is None else list(counts),
            None if backends is None else list(backends),
            None if data is None else os.fspath(data),
            None if folder is None else os.fspath(folder),
            repetitions,
            seed,
            progress,
        )
    )
    return found
