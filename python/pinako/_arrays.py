"""What callers give, as arrays that the extension module takes without another look."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ._errors import ImageNotFoundError

#: What samples can be.
SAMPLES = ("uint8", "uint16", "uint32", "int16", "float32", "float64")


def ids(index: Any) -> npt.NDArray[np.int64]:
    """A range, list or array of whole numbers as one of int64."""
    if isinstance(index, range):
        return np.arange(index.start, index.stop, index.step, dtype=np.int64)
    array = np.asarray(index)
    if array.dtype == np.bool_ and array.ndim:
        raise TypeError("an array of bools is no list of ids: write store.ids[mask]")
    if array.size == 0 and array.ndim == 1:
        return np.empty(0, np.int64)
    if array.dtype == object and array.size and all(type(one) is int for one in array.flat):
        raise ImageNotFoundError(f"there is no image {max(array.flat, key=abs)}")
    if array.dtype.kind not in "iu":
        kind = type(index).__name__ if array.ndim == 0 or array.dtype == object else f"{type(index).__name__} of {array.dtype}"
        raise TypeError(
            f"images are asked for by id, by name, or by a slice, a list or an array of ids, not by {kind}"
        )
    if array.ndim != 1:
        raise IndexError(f"a list of ids has one dimension, not {array.ndim}")
    if array.dtype == np.uint64 and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise ImageNotFoundError(f"there is no image {int(array.max())}")
    return np.ascontiguousarray(array, np.int64)


def pixels(image: Any, what: str) -> npt.NDArray[Any]:
    """One image as a C-contiguous array in this machine's byte order."""
    array = image if isinstance(image, np.ndarray) else _of_others(image)
    if array is None:
        raise TypeError(f"{what} is a {type(image).__name__}, not an array or the bytes of an image file")
    if array.dtype.name not in SAMPLES:
        raise TypeError(f"{what} is of {array.dtype}: samples are of {', '.join(SAMPLES)}; astype() makes them so")
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))


def is_array(images: Any) -> bool:
    """Whether it is an array by another name: h5py's or zarr's, a tensor, a Pillow image. A nested list is none, and
    neither is a column of a table."""
    if getattr(images, "ndim", 2) < 2:
        return False
    return any(hasattr(images, name) for name in ("__array__", "__array_interface__", "__dlpack__"))


def _of_others(image: Any) -> npt.NDArray[Any] | None:
    if getattr(image, "mode", None) in ("P", "PA"):
        raise TypeError("a Pillow image with a palette: give image.convert(\"RGB\"), or np.asarray(image) for its indices")
    if isinstance(image, memoryview) or hasattr(image, "__array__") or hasattr(image, "__array_interface__"):
        return np.asarray(image)
    return np.from_dlpack(image) if hasattr(image, "__dlpack__") else None


def writable(out: Any) -> npt.NDArray[Any]:
    """An array that shares its memory with ``out``: an array, a tensor on the CPU, anything with a writable buffer."""
    array = _shared(out)
    if not array.flags.c_contiguous:
        raise ValueError("out is not C-contiguous")
    if not array.flags.writeable:
        raise ValueError("out is read-only")
    return array


def _shared(out: Any) -> npt.NDArray[Any]:
    if isinstance(out, np.ndarray):
        return out
    try:
        return np.asarray(memoryview(out))
    except TypeError:
        pass
    if hasattr(out, "__dlpack__"):
        array = np.from_dlpack(out)
        # Older versions of numpy call all of these read-only; torch's own way has no such scruples.
        if array.flags.writeable or not hasattr(out, "numpy"):
            return array
        return np.asarray(out.numpy())
    raise TypeError(f"out is a {type(out).__name__}, not an array, a tensor or a buffer")
