"""`Store`: what the extension module has, with arguments as Python has them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, SupportsIndex, Union

import numpy as np
import numpy.typing as npt

from . import _arrays, _pinako
from ._errors import PinakoError

#: How a store is opened: to read, to append, or to make a new one.
Mode = Literal["r", "a", "w"]
#: An id or a name.
Image = Union[SupportsIndex, str]
#: Told how many images are done, and of how many, or None.
Progress = Callable[[int, "int | None"], object]
#: A path, or a URL as ``lmdb:photos`` or ``s3://bucket/photos``.
Url = Union[str, "os.PathLike[str]"]

#: Most images that are in memory at a time while a store is walked over.
_WALK = 256
#: And most bytes of them, unless one takes more.
_WALK_BYTES = 64 << 20


@dataclass(frozen=True)
class Info:
    """What is known of an image without its pixels."""

    #: Its number in its store, which never changes.
    id: int
    #: Its name, unique in its store.
    name: str | None
    #: Its class.
    label: int | None
    #: Height, width, channels.
    shape: tuple[int, int, int]
    #: The type of its samples.
    dtype: np.dtype[Any]
    #: How it is stored: ``raw:row``, ``raw:hilbert:64``, ``png``, ``kept:jpeg``, ...
    encoding: str
    #: What else was said of it.
    attributes: dict[str, Any] | None
    #: Bytes that it takes as it is stored.
    payload_length: int
    #: CRC32C of these bytes.
    checksum: int


@dataclass(frozen=True)
class Problem:
    """An image that is not what it should be."""

    #: Which; None where it is the list of images that cannot be read.
    id: int | None
    name: str | None
    #: What is wrong.
    error: PinakoError


@dataclass(frozen=True)
class Copied:
    """What a copy or an import did."""

    #: Images that were brought in.
    images: int
    #: Their bytes, as stored.
    bytes: int
    #: Images that were there already.
    present: int
    #: What was left out because it could not be read.
    skipped: Sequence[str] = ()


class Store(_pinako.Store):
    """Images in a folder, a file, a database or a bucket; made by :func:`pinako.open`.

    ``store[7]``, ``store["tom"]``
        one image: an array of height, width and channels.
    ``store[3:9]``, ``store[[5, 2, 5]]``, ``store[ids]``, ``store[["tom", "tim"]]``
        many, read and decoded on all cores: one array of N,H,W,C where they have one shape and type, else a list; an
        empty list of none.
    ``for image in store``, ``len(store)``, ``7 in store``, ``"tom" in store``
        as of any sequence.

    Numbers are ids: an image keeps its id for ever, and after a removal none is given again. As long as no image was
    removed they are the places of a sequence; after that, :attr:`ids` has those that are there.

    A store may be used by many threads at once, and in processes that were forked or that got it by pickle: each opens
    it for itself.
    """

    def __new__(
        cls,
        url: Url,
        mode: Mode = "r",
        *,
        verify_checksums: bool = True,
        max_image_bytes: int = 512 << 20,
        buffered: bool = False,
    ) -> Store:
        return super().__new__(cls, os.fspath(url), mode, verify_checksums, max_image_bytes, buffered, None)

    def __enter__(self) -> Store:
        self._check_open()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<pinako.Store {'closed' if self.closed else self.url}>"

    def __reduce__(self) -> tuple[Any, ...]:
        self._check_open()
        url, mode, verify_checksums, max_image_bytes, buffered = self._opening
        if url == "memory:":
            raise TypeError("a store in memory is no other process's: it cannot be pickled")
        options = (verify_checksums, max_image_bytes, buffered)
        # It is not made anew where there is none any more.
        return _open_again, (type(self), url, mode, options, mode != "r" and self._had_images())

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("the store is closed")

    def __iter__(self) -> Iterator[npt.NDArray[Any]]:
        return self._walk(self.ids)

    def __reversed__(self) -> Iterator[npt.NDArray[Any]]:
        return self._walk(self.ids[::-1])

    def _walk(self, ids: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[Any]]:
        while len(ids):
            images = self._some(ids[:_WALK], _WALK_BYTES)
            ids = ids[len(images) :]
            yield from images

    def info(self, image: Image) -> Info:
        """What is known of an image without its pixels.

        >>> store.info(7).shape
        (32, 32, 3)

        Raises:
            ImageNotFoundError: (an ``IndexError``) there is no such image.
        """
        found = self._info(image)
        attributes = found.pop("attributes")
        return Info(
            dtype=np.dtype(found.pop("dtype")), attributes=json.loads(attributes) if attributes else None, **found
        )

    def take(self, ids: Any, out: Any = None) -> Any:
        """Many images at once, as ``store[ids]``; with ``out``, decoded straight into it.

        Args:
            ids: a range, list or array of ids, or a list of names.
            out: a C-contiguous array of N,H,W,C and the images' dtype, or what shares its memory with one: a tensor
                on the CPU (pinned, too), anything with a writable buffer or DLPack. It is returned.

        Raises:
            ValueError: ``out`` has another shape, is read-only or not contiguous; or the images are not alike.
            TypeError: ``out`` has another dtype, or is no array.

        >>> batch = np.empty((64, 32, 32, 3), np.uint8)
        >>> store.take(range(64), out=batch)
        """
        if out is None:
            return self._many(ids)
        self._take_into(ids, _arrays.writable(out))
        return out

    def append(
        self,
        images: Iterable[Any],
        labels: Iterable[int | None] | None = None,
        names: Iterable[str | None] | None = None,
        attributes: Iterable[Mapping[str, Any] | None] | None = None,
        *,
        encoding: str | None = None,
    ) -> range:
        """Stores images, all or none of them; they are safe on the disk when it returns. Ctrl-C is heard at its end: what
        is large comes best in batches of some hundred megabytes.

        Args:
            images: an array of N,H,W,C (tensors of N,C,H,W are given as ``images.permute(0, 2, 3, 1)``); or a list whose
                members are arrays of H,W,C or H,W (of uint8, uint16, uint32, int16, float32 or float64), or ``bytes`` of
                an image file (JPEG, PNG, WebP, TIFF, BMP, GIF, QOI, PNM), which are kept as they are, if they can be
                decoded.
            labels: a number for each image, or None. (Arrays of labels have -1 where there is none.)
            names: a name for each image, or None; names are unique in a store.
            attributes: a dict for each image, or None; what JSON can say.
            encoding: how arrays are stored: ``"raw"``, ``"png"``, or a layout of raw pixels, ``"row"`` or
                ``"hilbert:64"``. Unless said, as suits the store and the image's size.

        Returns:
            Their ids.

        Raises:
            ConflictError: a name is taken.
            CorruptError, UnsupportedError: bytes cannot be decoded.
            DeniedError: the store was opened for reading.

        >>> ids = store.append(np.zeros((10, 28, 28, 1), np.uint8), labels=range(10))
        >>> store.append([open("tom.jpg", "rb").read()], names=["tom"])
        range(10, 11)
        """
        prepared = _prepared(images)
        labels = _one_each(labels, len(prepared), "labels")
        names = _one_each(names, len(prepared), "names")
        attributes = _one_each(attributes, len(prepared), "attributes")
        first, end = self._append(
            prepared,
            None if labels is None else [None if label is None else _label(label) for label in labels],
            names,
            None if attributes is None else [None if one is None else json.dumps(one) for one in attributes],
            encoding,
        )
        return range(first, end)

    def explain(
        self,
        image: Image,
        x: SupportsIndex,
        y: SupportsIndex,
        width: SupportsIndex,
        height: SupportsIndex,
        *,
        strategies: Sequence[str] = (),
        measure: bool = False,
        picture: Url | None = None,
    ) -> dict[str, Any]:
        """How a region is read, and what other ways of reading it would cost: what ``pinako explain --json`` prints.

        Args:
            strategies: ``exact``, ``grow:N``, ``paper``, ``optimal``; unless given, all that make a difference.
            measure: whether to read by each of them, and time it.
            picture: a PNG file to draw the plans into.
        """
        if isinstance(strategies, str):
            raise TypeError(f"strategies is a text: give a list, [{strategies!r}]")
        picture = None if picture is None else os.fspath(picture)
        found: dict[str, Any] = json.loads(
            self._explain(image, (x, y, width, height), list(strategies), measure, picture)
        )
        return found

    def verify(self, *, progress: Progress | None = None) -> list[Problem]:
        """Reads and decodes every image; what is not sound.

        >>> store.verify()
        []
        """
        return [Problem(*found) for found in self._verify(progress)]

    def copy_to(self, to: Store | Url, *, progress: Progress | None = None) -> Copied:
        """Copies all images into another store, as they are stored; one that is not there yet is made. A copy that was
        stopped goes on where it was.

        Args:
            to: a store, or where one is to be.
            progress: told from time to time how many images are done, and of how many.
        """
        if isinstance(to, _pinako.Store):
            return Copied(*self._copy_to(to, progress))
        with Store(to, "a") as made:
            return Copied(*self._copy_to(made, progress))

    def import_from(
        self,
        path: Url,
        *,
        encoding: str = "keep",
        skip_bad: bool = False,
        name_prefix: str | None = None,
        progress: Progress | None = None,
    ) -> Copied:
        """Stores the images of a folder of image files, of CIFAR, MNIST, ``.npy``, ``.npz``, HDF5, or LMDB of pickles: it
        sees which. An import that was stopped goes on where it was.

        Args:
            encoding: ``"keep"`` files as they are, ``"raw"``, ``"png"``, a layout (``"hilbert:64"``), or ``"link"``:
                store only the paths.
            skip_bad: leave out what cannot be read, and tell it, instead of raising.
            name_prefix: what is put before each name.
        """
        path = os.fspath(path)
        return Copied(*self._import_from(path, encoding, skip_bad, name_prefix, progress))

    def export_to(self, path: Url, *, format: str | None = None, progress: Progress | None = None) -> Copied:
        """Writes all images as other programs expect them.

        Args:
            format: ``"folders"`` of image files, ``"npy"``, ``"hdf5"``, ``"cifar-python"``; unless given, by the
                extension of ``path``.
        """
        return Copied(*self._export_to(os.fspath(path), format, progress), 0)

    def vacuum(self, keep_seconds: float = 7 * 24 * 3600, *, dry_run: bool = False) -> tuple[int, int]:
        """Deletes what compaction and killed writers left in a bucket longer ago than that; how many objects, and
        their bytes."""
        return self._vacuum(keep_seconds, dry_run)


def _open_again(
    cls: type[Store], url: str, mode: str, options: tuple[bool, int, bool], had_images: bool
) -> Store:
    # It is opened when it is used: who only passes a pickle on may not be where the store is.
    return _pinako.Store.__new__(cls, url, mode, *options, had_images)


def _prepared(images: Any) -> list[Any]:
    """Each image as `bytes`, or as an array that is contiguous and in this machine's byte order."""
    if isinstance(images, (bytes, bytearray, memoryview, str)):
        raise TypeError("images is one image or a text: put it into a list")
    if isinstance(images, np.ndarray) or _arrays.is_array(images):
        array = _arrays.pixels(images, "images")
        if array.ndim != 4:
            hint = ": is it one image, or many of one channel? Write images[None], or images[..., None]"
            raise ValueError(f"images has {array.ndim} dimensions, not N,H,W,C{hint if array.ndim == 3 else ''}")
        return list(array)
    prepared: list[Any] = []
    for place, image in enumerate(images):
        if isinstance(image, (bytes, bytearray)) or (isinstance(image, memoryview) and image.ndim == 1):
            prepared.append(bytes(image))
        else:
            array = _arrays.pixels(image, f"images[{place}]")
            if array.ndim not in (2, 3):
                raise ValueError(f"images[{place}] has {array.ndim} dimensions, not H,W,C or H,W")
            prepared.append(array)
    return prepared


def _one_each(values: Iterable[Any] | None, count: int, what: str) -> list[Any] | None:
    if values is None:
        return None
    if isinstance(values, (str, bytes, Mapping)):
        raise TypeError(f"{what} is a {type(values).__name__}: give a list of one for each image")
    values = values.tolist() if isinstance(values, np.ndarray) else list(values)
    if len(values) != count:
        raise ValueError(f"there are {count} images and {len(values)} {what}")
    return values


def _label(label: Any) -> int:
    try:
        return int(label.__index__())
    except AttributeError:
        raise TypeError(f"a label is a whole number or None, not {label!r}") from None
