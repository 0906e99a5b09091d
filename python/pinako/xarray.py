"""Large images for xarray and Dask: windows of them are read as regions, whatever the layout.

>>> import xarray
>>> earth = xarray.open_dataset("lmdb:earth", engine="pinako", chunks={})
>>> earth.image[1200:1600, 4000:4400].mean().compute()

``chunks={}`` makes Dask arrays whose chunks are read in parallel, on its distributed scheduler, too: each worker opens
the store for itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray
from xarray.backends import BackendArray, BackendEntrypoint
from xarray.core import indexing

from ._store import Image, Store

__all__ = ["PinakoBackend"]

#: Sides of the chunks that are suggested: regions that read fast in any layout for large images.
CHUNK = 1024

_SCHEMES = ("files:", "hdf5:", "lmdb:", "object:", "sqlite:", "postgres://", "postgresql://")


class _Window(BackendArray):
    """An image as an array of y, x and channel, of which only what is asked for is read."""

    def __init__(self, store: Store, image: int) -> None:
        info = store.info(image)
        self.store, self.image = store, image
        self.shape, self.dtype = info.shape, info.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

    def _read(self, key: tuple[Any, ...]) -> Any:
        spans, within = zip(*(_span(one, length) for one, length in zip(key[:2], self.shape)))
        (y, height), (x, width) = spans
        if height == 0 or width == 0:
            empty = np.empty((height, width, self.shape[2]), self.dtype)
            return empty[(*within, key[2])]
        return self.store.region(self.image, x, y, width, height)[(*within, key[2])]


def _span(key: Any, length: int) -> tuple[tuple[int, int], Any]:
    """Where what ``key`` asks for begins, and how long it is; and the key within it."""
    if not isinstance(key, slice):
        return (range(length)[key], 1), 0
    places = range(length)[key]
    if len(places) == 0:
        return (0, 0), slice(0, 0)
    first, last = min(places[0], places[-1]), max(places[0], places[-1])
    backward = slice(None, None, places.step)
    return (first, last - first + 1), backward


class PinakoBackend(BackendEntrypoint):
    """``xarray.open_dataset(url, engine="pinako", image=0)``: one image of a store as the variable ``image``."""

    description = "Large images in Pinako stores, read by regions"
    open_dataset_parameters = ("filename_or_obj", "drop_variables", "image")

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        image: Image | None = None,
    ) -> xarray.Dataset:
        """The image of that id or name; where the store has but one, it need not be said which."""
        store = filename_or_obj if isinstance(filename_or_obj, Store) else Store(os.fspath(filename_or_obj))
        if image is None:
            count = len(store)
            if count != 1:
                raise ValueError(f"{store.url} has {count} images: say which, as in image=0 or image=\"name\"")
            image = int(store.ids[0])
        info = store.info(image)
        height, width, channels = info.shape
        variable = xarray.Variable(
            ("y", "x", "channel"),
            indexing.LazilyIndexedArray(_Window(store, info.id)),
            attrs={key: value for key, value in (info.attributes or {}).items()},
            encoding={"preferred_chunks": {"y": min(CHUNK, height), "x": min(CHUNK, width), "channel": channels}},
        )
        known = {"id": info.id, "name": info.name, "label": info.label, "encoding": info.encoding}
        attributes = {key: value for key, value in known.items() if value is not None}
        dropped = [drop_variables] if isinstance(drop_variables, str) else list(drop_variables or ())
        dataset = xarray.Dataset({} if "image" in dropped else {"image": variable}, attrs=attributes)
        if store is not filename_or_obj:
            dataset.set_close(store.close)
        return dataset

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        return isinstance(filename_or_obj, Store) or str(filename_or_obj).startswith(_SCHEMES)
