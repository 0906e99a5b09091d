"""Large images for xarray and Dask: windows of them are read as regions, whatever the layout.

>>> import xarray
>>> earth = xarray.open_dataset("lmdb:earth", engine="pinako", chunks={})
>>> earth.image[1200:1600, 4000:4400].mean().compute()

``chunks={}`` makes Dask arrays whose chunks are read in parallel, on its distributed scheduler, too: each worker opens
the store for itself.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray
from xarray.backends import BackendArray, BackendEntrypoint
from xarray.core import indexing

from ._store import Image, Store

__all__ = ["PinakoBackend"]

#: Sides of the chunks that are suggested: regions that read fast in any layout for large images.
CHUNK = 1024

#: Pixels between what is asked for that are rather read along: one more region costs more.
_BETWEEN = 16 << 10

#: Columns between two that somebody asked for are read along where they are fewer: in rows, they are in the same pages.
_BETWEEN_COLUMNS = 1024

_Places = npt.NDArray[np.int64]


class _Window(BackendArray):
    """An image as an array of y, x and channel, of which only what is asked for is read."""

    def __init__(self, store: Store, image: int) -> None:
        info = store.info(image)
        self.store, self.image = store, image
        self.shape, self.dtype = info.shape, info.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> Any:
        places = [np.atleast_1d(np.arange(length)[one]) for one, length in zip(key, self.shape)]
        pixels = self._pixels(key[0], key[1], places[0], places[1])[:, :, key[2]]
        return pixels[tuple(slice(None) if isinstance(one, (slice, np.ndarray)) else 0 for one in key[:2])]

    def _pixels(self, key_y: Any, key_x: Any, rows: _Places, columns: _Places) -> npt.NDArray[Any]:
        """What stands where these rows and columns meet."""
        if rows.size == 0 or columns.size == 0:
            return np.empty((rows.size, columns.size, self.shape[2]), self.dtype)
        down = _spans(rows, _BETWEEN // (int(np.ptp(columns)) + 1))
        across = _spans(columns, max(_BETWEEN // max(height for _, height, _ in down), _BETWEEN_COLUMNS))
        spans = list(itertools.product(down, across))
        regions = [(self.image, x, y, width, height) for (y, height, _), (x, width, _) in spans]
        if len(regions) == 1:
            pixels: npt.NDArray[Any] = self.store.region(*regions[0])[_within(key_y, rows)][:, _within(key_x, columns)]
            return pixels
        pixels = np.empty((rows.size, columns.size, self.shape[2]), self.dtype)
        for ((y, _, of_rows), (x, _, of_columns)), region in zip(spans, self.store.regions(regions)):
            pixels[np.ix_(of_rows, of_columns)] = region[np.ix_(rows[of_rows] - y, columns[of_columns] - x)]
        return pixels


def _spans(places: _Places, between: int) -> list[tuple[int, int, _Places]]:
    """Where stretches of an axis begin that have all of the places, how long they are, and which of the places each has.
    More than ``between`` lies between two of them."""
    order = np.argsort(places, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(places[order]) - 1 > between) + 1)
    return [(int(places[part[0]]), int(np.ptp(places[part])) + 1, part) for part in parts]


def _within(key: Any, places: _Places) -> Any:
    """The places in the stretch that they span; those of a slice without a copy."""
    return slice(None, None, key.step) if isinstance(key, slice) else places - places.min()


def _as_given(url: str) -> str:
    """What ``xarray.open_mfdataset`` takes for a path is made absolute there: lmdb:earth to /where/it/is/lmdb:earth."""
    given = url.removeprefix(os.path.join(os.getcwd(), ""))
    return given if re.match("[a-z][a-z0-9]*:", given) and not os.path.exists(url) else url


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
        **options: Any,
    ) -> xarray.Dataset:
        """The image of that id or name; where the store has but one, it need not be said which.

        Args:
            filename_or_obj: the store, or what :func:`pinako.open` takes for one.
            options: as :func:`pinako.open` has them, where it is to open the store.
        """
        if isinstance(filename_or_obj, Store):
            if options:
                raise TypeError(f"a store that is open has its options already: {', '.join(options)} cannot be given")
            return _dataset(filename_or_obj, image, drop_variables)
        store = Store(_as_given(os.fspath(filename_or_obj)), "r", **options)
        try:
            dataset = _dataset(store, image, drop_variables)
        except BaseException:
            store.close()
            raise
        dataset.set_close(store.close)
        return dataset

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        return isinstance(filename_or_obj, Store)


def _dataset(store: Store, image: Image | None, drop_variables: str | Iterable[str] | None) -> xarray.Dataset:
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
        attrs=info.attributes,
        encoding={"preferred_chunks": {"y": min(CHUNK, height), "x": min(CHUNK, width), "channel": channels}},
    )
    known = {"id": info.id, "name": info.name, "label": info.label, "encoding": info.encoding}
    attributes = {key: value for key, value in known.items() if value is not None}
    dropped = [drop_variables] if isinstance(drop_variables, str) else list(drop_variables or ())
    return xarray.Dataset({} if "image" in dropped else {"image": variable}, attrs=attributes)
