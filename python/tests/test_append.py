"""What can be stored, and what cannot."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from samples import pictures

import pinako

DTYPES = ["uint8", "uint16", "uint32", "int16", "float32", "float64"]


@pytest.fixture
def store(tmp_path):
    with pinako.open(tmp_path / "s", "w") as store:
        yield store


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_types_of_samples(store, dtype, channels):
    images = pictures(3, dtype=dtype, channels=channels)
    store.append(images)
    found = store[:]
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found, images)
    np.testing.assert_array_equal(store[1], images[1])
    np.testing.assert_array_equal(store.region(2, 1, 2, 3, 4), images[2, 2:6, 1:4])


@pytest.mark.parametrize("dtype", DTYPES[1:])
def test_the_other_byte_order(store, dtype):
    images = pictures(2, dtype=dtype)
    store.append(images.astype(np.dtype(dtype).newbyteorder()))
    store.append([images[0].astype(np.dtype(dtype).newbyteorder())])
    assert store[:].dtype == np.dtype(dtype)
    np.testing.assert_array_equal(store[:], images[[0, 1, 0]])


@pytest.mark.parametrize(
    "dtype", ["int8", "int32", "int64", "uint64", "float16", "complex64", "bool", "object", "U3", "M8[s]", "V4", "longdouble"]
)
def test_types_that_samples_cannot_be_of(store, dtype):
    image = np.zeros((4, 4, 3), dtype)
    for images in ([image], image[None]):
        with pytest.raises(TypeError, match="uint8, uint16"):
            store.append(images)
    assert len(store) == 0


def test_arrays_that_are_not_contiguous_or_read_only(store):
    images = pictures(6, 9, 8)
    frozen = images.copy()
    frozen.flags.writeable = False
    broadcast = np.broadcast_to(images[0, 0, 0], (2, 3, 3))
    views = [images[::2], images[:, ::-1], images[..., ::-1], images.transpose(0, 2, 1, 3), np.asfortranarray(images),
             images[:, 1:5, 2:6], frozen]
    for view in views:
        ids = store.append(view)
        np.testing.assert_array_equal(store[ids], view)
    store.append([broadcast, images[0].T])
    np.testing.assert_array_equal(store[-2], broadcast)
    np.testing.assert_array_equal(store[-1], images[0].T)


def test_an_image_without_channels_has_one(store):
    gray = pictures(1, channels=1)[0]
    store.append([gray[..., 0], gray])
    assert store[:].shape == (2, 8, 6, 1)
    np.testing.assert_array_equal(store[0], store[1])


def test_images_of_many_sorts_in_one_call(store):
    images = [pictures(1, 3, 4)[0], pictures(1, 5, 2, 1, "float32")[0], pictures(1, 1, 1, 4, "uint16")[0]]
    assert store.append(image for image in images) == range(3)
    assert store.append(tuple(images)) == range(3, 6)
    for place in range(6):
        np.testing.assert_array_equal(store[place], images[place % 3])


def test_no_images(store):
    for nothing in ([], (), iter([]), np.empty((0, 4, 4, 3), np.uint8)):
        assert store.append(nothing) == range(0)
    assert store.append([], labels=[], names=[], attributes=[]) == range(0)


def test_files_are_kept_as_they_are(store, tmp_path):
    image = pictures(1)[0]
    with pinako.open("memory:", "w") as made:
        made.append(image[None])
        made.export_to(tmp_path / "out", format="folders")
    file = next(path for path in (tmp_path / "out").rglob("*") if path.suffix == ".png").read_bytes()
    assert store.append([file, bytearray(file), memoryview(file)]) == range(3)
    for place in range(3):
        np.testing.assert_array_equal(store[place], image)
        assert store.info(place).encoding == "kept:png" and store.info(place).payload_length == len(file)
    assert store.append([file, image]) == range(3, 5)
    assert store[:].shape == (5, 8, 6, 3)


def test_bytes_that_are_no_image(store):
    for wrong in (b"", b"no image", b"\x89PNG\r\n\x1a\n"):
        with pytest.raises(pinako.PinakoError):
            store.append([wrong])
    assert len(store) == 0


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF"])
def test_files_that_were_cut_off(store, kind):
    file = io.BytesIO()
    Image.fromarray(pictures(1, 40, 40)[0]).save(file, kind)
    whole = file.getvalue()
    for part in (0.9, 0.5, 0.1):
        with pytest.raises((pinako.CorruptError, pinako.UnsupportedError), match="image 1 "):
            store.append([whole, whole[: int(len(whole) * part)]])
    assert len(store) == 0
    store.append([whole, bytearray(whole), memoryview(whole)])
    assert len(store) == 3 and store.verify() == []


@pytest.mark.parametrize(
    "images, error",
    [
        (b"bytes", TypeError), ("text", TypeError), (None, TypeError), (3, TypeError), ([None], TypeError),
        (["text"], TypeError), ([3], TypeError), ([[1, 2]], TypeError), ([io.BytesIO(b"x")], TypeError),
        (np.zeros((4, 4, 3), np.uint8), ValueError), (np.zeros((4, 4), np.uint8), ValueError),
        ([np.zeros((1, 4, 4, 3), np.uint8)], ValueError), ([np.zeros(4, np.uint8)], ValueError),
        (np.uint8(3), TypeError), ([np.zeros((), np.uint8)], ValueError), ([np.zeros((0, 4, 3), np.uint8)], ValueError),
        ([np.zeros((4, 4, 0), np.uint8)], ValueError), ([np.zeros((1, 1, 70_000), np.uint8)], ValueError),
        ({"a": np.zeros((4, 4, 3), np.uint8)}, TypeError),
    ],
    ids=lambda value: repr(value)[:40].replace("\n", ""),
)
def test_what_is_no_image(store, images, error):
    with pytest.raises(error):
        store.append(images)
    assert len(store) == 0


def test_the_place_of_the_wrong_one_is_said(store):
    with pytest.raises(TypeError, match=r"images\[1\]"):
        store.append([np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2, 3), np.int64)])
    with pytest.raises(ValueError, match=r"images\[1\]"):
        store.append([np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2, 3, 1), np.uint8)])


def test_labels(store):
    images = pictures(4)
    store.append(images, labels=[0, None, np.uint8(7), 2**40])
    store.append(images, labels=np.array([1, 2, 3, 4], np.int16))
    store.append(images, labels=iter([5, 6, 7, 8]))
    assert list(store.labels) == [0, -1, 7, 2**40, 1, 2, 3, 4, 5, 6, 7, 8]
    for wrong, error in (
        ([1, 2, 3], ValueError), ([1] * 5, ValueError), (3, TypeError), ("abcd", TypeError), ([0.5] * 4, TypeError),
        (["0"] * 4, TypeError), ([2**70] * 4, OverflowError), (np.zeros(4), TypeError), (np.zeros((4, 1), int), TypeError),
    ):
        with pytest.raises(error):
            store.append(images, labels=wrong)
    assert len(store) == 12


def test_names(store):
    images = pictures(2)
    store.append(images, names=["a", None])
    store.append(images, names=np.array(["b", "ü"]))
    assert [store.info(i).name for i in range(4)] == ["a", None, "b", "ü"]
    assert store.find(["ü", "b", "a"]) == [3, 2, 0]
    for wrong, error in (
        (["x"], ValueError), ("xy", TypeError), ([1, 2], TypeError), ([b"x", b"y"], TypeError),
        (["x", "x"], FileExistsError), (["x", "a"], FileExistsError), (["", "y"], ValueError), (["x" * 5000, "y"], ValueError),
    ):
        with pytest.raises(error):
            store.append(images, names=wrong)
    assert len(store) == 4 and "x" not in store


def test_attributes(store):
    images = pictures(3)
    given = [{"camera": "α", "exposure": [1, 2.5]}, None, {}]
    store.append(images, attributes=given)
    assert [store.info(i).attributes for i in range(3)] == given
    for wrong, error in (
        ([{}], ValueError), ({"a": 1}, TypeError), ([1, 2, 3], (TypeError, ValueError)), ([{"a": object()}] * 3, TypeError),
        ([{"a": float("nan")}] * 3, ValueError), (["{}"] * 3, (TypeError, ValueError)),
    ):
        with pytest.raises(error):
            store.append(images, attributes=wrong)
    assert len(store) == 3


def test_encodings(store):
    images = pictures(2, 70, 70)
    for encoding, stored in (
        ("raw", "raw:row"), ("png", "png"), ("row", "raw:row"), ("hilbert:64", "raw:hilbert:64"), (None, "raw:row"),
    ):
        ids = store.append(images, encoding=encoding)
        assert store.info(ids[0]).encoding == stored
        np.testing.assert_array_equal(store[ids], images)
    for wrong in ("jpeg", "", "hilbert:x"):
        with pytest.raises(ValueError):
            store.append(images, encoding=wrong)
    with pytest.raises(TypeError):
        store.append(images, encoding=3)


def test_all_or_none(store):
    with pytest.raises(FileExistsError):
        store.append(pictures(3), names=["a", "b", "a"])
    with pytest.raises(pinako.PinakoError):
        store.append([pictures(1)[0], b"no image"])

    def broken():
        yield pictures(1)[0]
        raise RuntimeError("of the caller's own")

    with pytest.raises(RuntimeError, match="of the caller's own"):
        store.append(broken())
    assert len(store) == 0 and store.next_id == 0


def test_what_others_call_arrays(store):
    class Likewise:
        def __init__(self, array):
            self.array = array

        def __array__(self, dtype=None, copy=None):
            return self.array

    class Dataset(Likewise):
        """As those of h5py, zarr and xarray: rows can be walked over, too."""

        ndim = property(lambda self: self.array.ndim)
        __getitem__ = lambda self, index: self.array[index]
        __len__ = lambda self: len(self.array)

    class OnlyDlpack:
        def __init__(self, array):
            self.__dlpack__, self.__dlpack_device__ = array.__dlpack__, array.__dlpack_device__

    image = pictures(1)[0]
    store.append([Likewise(image)])
    np.testing.assert_array_equal(store[0], image)
    with pytest.raises(ValueError, match="3 dimensions"):
        store.append(Dataset(image))
    many = pictures(3)
    for found in (Dataset(many), [Dataset(image) for image in many], OnlyDlpack(many), [memoryview(image) for image in many]):
        ids = store.append(found)
        np.testing.assert_array_equal(store[ids], many)
        store.remove(ids)
    torch = pytest.importorskip("torch")
    ids = store.append(torch.from_numpy(many))
    np.testing.assert_array_equal(store[ids], many)
    ids = store.append([torch.from_numpy(image), torch.from_numpy(image).permute(1, 0, 2)])
    np.testing.assert_array_equal(store[ids[0]], image)
    np.testing.assert_array_equal(store[ids[1]], image.transpose(1, 0, 2))


def test_palettes_are_no_colours(store):
    palette = Image.fromarray(pictures(1)[0]).convert("P")
    for given in ([palette], palette):
        with pytest.raises(TypeError, match="palette"):
            store.append(given)
    store.append([palette.convert("RGB"), np.asarray(palette)])
    assert [image.shape for image in store] == [(8, 6, 3), (8, 6, 1)]


def test_masked_arrays_and_classes_of_others(store):
    image = pictures(1, channels=1)[0]
    store.append([np.ma.masked_array(image, image > 4), image[..., 0].view(type("Own", (np.ndarray,), {}))])
    np.testing.assert_array_equal(store[0], image)
    np.testing.assert_array_equal(store[1], image)


def test_buffered(tmp_path):
    with pinako.open(tmp_path / "b", "w", buffered=True) as store:
        store.append(pictures(2))
        store.sync()
    with pinako.open(tmp_path / "b") as store:
        assert len(store) == 2


def test_images_that_are_too_large_once_decoded(tmp_path):
    with pinako.open(tmp_path / "s", "w") as store:
        store.append(pictures(1, 64, 64), encoding="png")
        store.export_to(tmp_path / "out", format="folders")
    file = next(path for path in (tmp_path / "out").rglob("*") if path.is_file()).read_bytes()
    with pinako.open("memory:", "w", max_image_bytes=100) as store, pytest.raises(pinako.PinakoError, match="max_image_bytes"):
        store.append([file])
    for wrong in (-1, 1.5, "1"):
        with pytest.raises((TypeError, OverflowError)):
            pinako.open("memory:", "w", max_image_bytes=wrong)
