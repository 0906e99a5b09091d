"""Millions of labelled images, or a few enormous ones: stored, and read as numpy arrays, fast.

>>> import numpy as np, pinako
>>> with pinako.open("lmdb:pets", "a") as store:
...     ids = store.append(np.zeros((10, 32, 32, 3), np.uint8), labels=range(10))
...     store[3].shape, store[2:5].shape
((32, 32, 3), (3, 32, 32, 3))

:func:`open` opens a :class:`Store`; :mod:`pinako.torch` has a ``Dataset`` for PyTorch, :mod:`pinako.xarray` shows large
images to xarray and Dask, and :mod:`pinako.bench` measures which kind of store suits your images.
"""

from __future__ import annotations

import importlib as _importlib
import os as _os
from typing import Any as _Any

try:
    from . import _pinako
except ImportError as _error:
    raise ImportError(
        f"{__path__[0]} has no extension module that loads here ({_error}): install the package by pip, and start Python in "
        "another folder than that of its source"
    ) from _error
from ._errors import (
    BackendError,
    ConflictError,
    CorruptError,
    DeniedError,
    FeatureDisabledError,
    ImageNotFoundError,
    InvalidInputError,
    NotFoundError,
    PathNotFoundError,
    PinakoError,
    TransientError,
    UnsupportedError,
)
from ._store import Copied, Info, Mode, Problem, Store, Url

__version__ = _pinako.__version__

__all__ = [
    "BackendError",
    "ConflictError",
    "Copied",
    "CorruptError",
    "DeniedError",
    "FeatureDisabledError",
    "ImageNotFoundError",
    "Info",
    "InvalidInputError",
    "NotFoundError",
    "PathNotFoundError",
    "PinakoError",
    "Problem",
    "Store",
    "TransientError",
    "UnsupportedError",
    "open",
]


def open(
    url: Url,
    mode: Mode = "r",
    *,
    verify_checksums: bool = True,
    max_image_bytes: int = 512 << 20,
    buffered: bool = False,
) -> Store:
    """Opens a store.

    Args:
        url: ``lmdb:DIR``, ``hdf5:DIR``, ``sqlite:FILE``, ``files:DIR``, ``object:DIR``, or the path of a store, whatever
            kind it is of; ``postgres://USER@HOST/DATABASE``, ``s3://BUCKET/PREFIX``, ``gs://...``, ``az://...``; ``memory:``.
            A new store at a bare path is LMDB's.
        mode: ``"r"`` to read; ``"a"`` to read and append, where a store that is not there is made by its first images;
            ``"w"`` to make a new one, which must not be there: nothing is ever overwritten.
        verify_checksums: whether images that are read whole are checked against their checksums.
        max_image_bytes: most bytes that the image in an image file may have once decoded.
        buffered: whether an append may return before it is safe on the disk; :meth:`Store.sync` makes it so.

    Raises:
        PathNotFoundError: (a ``FileNotFoundError``) there is no such store.
        ConflictError: (a ``FileExistsError``) mode is ``"w"`` and there is one.

    >>> with pinako.open("cifar") as store:
    ...     image = store[0]
    """
    return Store(url, mode, verify_checksums=verify_checksums, max_image_bytes=max_image_bytes, buffered=buffered)


_SUBMODULES = ("bench", "torch", "xarray")


def __getattr__(name: str) -> _Any:
    # They bring torch and xarray with them: only who uses them waits for that.
    if name in _SUBMODULES:
        return _importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# Nothing of a store is torn apart by a fork: see the module `process` of the extension.
if hasattr(_os, "register_at_fork"):
    _os.register_at_fork(
        before=_pinako.before_fork, after_in_parent=_pinako.after_fork, after_in_child=_pinako.after_fork
    )
