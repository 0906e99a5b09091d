"""Images into arrays of the caller's, and rectangles of images."""

from __future__ import annotations

import array
import ctypes
import io

import numpy as np
import pytest
from PIL import Image
from samples import pictures

import pinako


def test_take_without_an_array(ten):
    store, images = ten
    np.testing.assert_array_equal(store.take([3, 1, 3]), images[[3, 1, 3]])
    np.testing.assert_array_equal(store.take(range(4)), images[:4])
    assert len(store.take([])) == 0


def test_take_into_an_array(ten):
    store, images = ten
    out = np.zeros((4, 8, 6, 3), np.uint8)
    assert store.take([9, 0, -2, 0], out=out) is out
    np.testing.assert_array_equal(out, images[[9, 0, 8, 0]])
    larger = np.zeros((6, 8, 6, 3), np.uint8)
    store.take(range(3), out=larger[2:5])
    np.testing.assert_array_equal(larger[2:5], images[:3])
    assert not larger[:2].any() and not larger[5:].any()
    assert store.take([], out=out[:0]).shape == (0, 8, 6, 3)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int16", "float32", "float64"])
def test_take_of_each_type(tmp_path, dtype):
    images = pictures(3, dtype=dtype)
    with pinako.open(tmp_path / "s", "w") as store:
        store.append(images)
        out = np.empty_like(images)
        np.testing.assert_array_equal(store.take(range(3), out=out), images)


def test_take_into_buffers(ten):
    store, images = ten
    with pytest.raises(ValueError):  # of one dimension
        store.take([1], out=bytearray(8 * 6 * 3))
    memory = bytearray(2 * 8 * 6 * 3)
    view = memoryview(memory).cast("B", (2, 8, 6, 3))
    assert store.take([1, 2], out=view) is view
    assert bytes(memory) == images[1:3].tobytes()
    store.take([5], out=(ctypes.c_uint8 * 3 * 6 * 8 * 1).from_buffer(memory))
    assert bytes(memory)[:144] == images[5].tobytes()


def test_take_into_tensors(ten):
    torch = pytest.importorskip("torch")
    store, images = ten
    out = torch.empty((2, 8, 6, 3), dtype=torch.uint8)
    assert store.take([7, 8], out=out) is out
    np.testing.assert_array_equal(out.numpy(), images[7:9])
    shared = torch.empty((2, 8, 6, 3), dtype=torch.uint8).share_memory_()
    np.testing.assert_array_equal(store.take([1, 2], out=shared).numpy(), images[1:3])
    with pytest.raises(TypeError):
        store.take([7, 8], out=torch.empty((2, 8, 6, 3)))
    with pytest.raises(ValueError):
        store.take([7, 8], out=torch.empty((2, 3, 8, 6), dtype=torch.uint8))
    with pytest.raises(ValueError, match="contiguous"):
        store.take([7, 8], out=torch.empty((2, 3, 8, 6), dtype=torch.uint8).permute(0, 2, 3, 1))
    with pytest.raises((TypeError, ValueError, BufferError)):
        store.take([7, 8], out=torch.empty((2, 8, 6, 3), dtype=torch.uint8, device="meta"))


class OnlyDlpack:
    def __init__(self, inner):
        self.inner = inner

    def __dlpack__(self, **options):
        return self.inner.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.inner.__dlpack_device__()


class Pinned(OnlyDlpack):
    """Says of memory, as torch does of a tensor that is pinned, that it is the host's, and CUDA's."""

    CUDA_HOST = 3

    def __dlpack__(self, **options):
        capsule = self.inner.__dlpack__(**{**options, "dl_device": None} if "dl_device" in options else options)
        pointer, name = ctypes.pythonapi.PyCapsule_GetPointer, ctypes.pythonapi.PyCapsule_GetName
        pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
        # DLTensor begins with a pointer, then the device; in a versioned capsule it comes after four words.
        called = name(capsule)
        device = pointer(capsule, called) + (32 if called == b"dltensor_versioned" else 0) + 8
        ctypes.c_int32.from_address(device).value = self.CUDA_HOST
        return capsule

    def __dlpack_device__(self):
        return (self.CUDA_HOST, 0)


@pytest.mark.parametrize("kind", [OnlyDlpack, Pinned])
def test_take_by_dlpack(ten, kind):
    store, images = ten
    inner = np.zeros((2, 8, 6, 3), np.uint8)
    out = kind(inner)
    assert (out.__dlpack_device__() != inner.__dlpack_device__()) == (kind is Pinned)
    if np.from_dlpack(out).flags.writeable:
        assert store.take([3, 4], out=out) is out
        np.testing.assert_array_equal(inner, images[3:5])
    else:
        with pytest.raises(ValueError, match="read-only"):
            store.take([3, 4], out=out)


def test_more_than_there_is_memory_for(tmp_path):
    with pinako.open(tmp_path / "s", "w") as store:
        store.append(np.zeros((1, 4000, 4000, 1), np.uint8), encoding="png")
        for ask in (lambda: store[np.zeros(10**6, int)], lambda: store.regions([(0, 0, 0, 4000, 4000)] * 10**5)):
            with pytest.raises(MemoryError):
                ask()
        assert store.region(0, 0, 0, 1, 1) == 0


def frozen():
    out = np.zeros((2, 8, 6, 3), np.uint8)
    out.flags.writeable = False
    return out


@pytest.mark.parametrize(
    "out, error, says",
    [
        (np.zeros((3, 8, 6, 3), np.uint8), ValueError, "shape"), (np.zeros((2, 6, 8, 3), np.uint8), ValueError, "shape"),
        (np.zeros(2 * 8 * 6 * 3, np.uint8), ValueError, "shape"), (np.zeros((2, 8, 6), np.uint8), ValueError, "shape"),
        (np.zeros((2, 8, 6, 3), np.int8), TypeError, "int8"), (np.zeros((2, 8, 6, 3), np.float32), TypeError, "float32"),
        (np.zeros((2, 8, 6, 3), object), TypeError, "object"), (frozen(), ValueError, "read-only"),
        (np.zeros((2, 8, 6, 3), np.uint8, order="F"), ValueError, "contiguous"),
        (np.zeros((2, 8, 6, 6), np.uint8)[..., ::2], ValueError, "contiguous"),
        (np.zeros((2, 8, 6, 3), np.uint8)[:, ::-1], ValueError, "contiguous"), (b"bytes", ValueError, "read-only"),
        (np.zeros((2, 8, 6, 3), bool), TypeError, "bool"), ([], TypeError, "list"), ("text", TypeError, "str"),
        (array.array("B", bytes(288)), ValueError, "shape"), (3, TypeError, "int"),
    ],
    ids=lambda value: repr(value)[:30].replace("\n", ""),
)
def test_what_takes_nothing(ten, out, error, says):
    with pytest.raises(error, match=says):
        ten[0].take([0, 1], out=out)


def test_the_other_byte_order_takes_nothing(tmp_path):
    with pinako.open(tmp_path / "s", "w") as store:
        store.append(pictures(1, dtype="uint16"))
        with pytest.raises(TypeError):
            store.take([0], out=np.zeros((1, 8, 6, 3), np.dtype("uint16").newbyteorder()))


def test_images_that_are_not_alike_do_not_fit_into_one(tmp_path):
    with pinako.open(tmp_path / "s", "w") as store:
        store.append([pictures(1)[0], pictures(1, 4, 4)[0], pictures(1, dtype="int16")[0]])
        for second in (1, 2):
            with pytest.raises(ValueError, match="one shape"):
                store.take([0, second], out=np.zeros((2, 8, 6, 3), np.uint8))


@pytest.fixture(params=["row", "hilbert:16", "png"])
def raster(request, tmp_path):
    image = pictures(1, 50, 70)[0]
    with pinako.open(tmp_path / "r", "w") as store:
        store.append([image], names=["earth"], encoding=request.param)
        yield store, image


def test_regions_are_crops(raster):
    store, image = raster
    wanted = [(0, 0, 70, 50), (0, 0, 1, 1), (69, 49, 1, 1), (3, 5, 20, 7), (10, 0, 1, 50), (0, 20, 70, 1)]
    for x, y, width, height in wanted:
        found = store.region(0, x, y, width, height)
        assert found.flags.c_contiguous and found.flags.writeable
        np.testing.assert_array_equal(found, image[y : y + height, x : x + width])
    np.testing.assert_array_equal(store.region("earth", x=np.int64(2), y=3, width=4, height=5), image[3:8, 2:6])
    np.testing.assert_array_equal(store.region(-1, 2, 3, 4, 5), image[3:8, 2:6])
    for found, (x, y, width, height) in zip(store.regions((0, *place) for place in wanted), wanted):
        np.testing.assert_array_equal(found, image[y : y + height, x : x + width])


def test_regions_of_one_size_are_one_array(raster):
    store, image = raster
    found = store.regions([(0, 1, 2, 3, 4), ["earth", 5, 6, 3, 4], np.array([0, 7, 8, 3, 4])])
    assert found.shape == (3, 4, 3, 3)
    np.testing.assert_array_equal(found[1], image[6:10, 5:8])
    np.testing.assert_array_equal(found[2], image[8:12, 7:10])
    assert isinstance(store.regions([(0, 0, 0, 3, 4), (0, 0, 0, 4, 3)]), list)
    assert len(store.regions([])) == 0
    np.testing.assert_array_equal(store.regions(np.array([[0, 1, 2, 3, 4]])), image[None, 2:6, 1:4])


@pytest.mark.parametrize(
    "place",
    [(-1, 0, 2, 2), (0, -1, 2, 2), (0, 0, 0, 2), (0, 0, 2, 0), (0, 0, -2, 2), (69, 0, 2, 1), (0, 0, 71, 1), (0, 0, 1, 51),
     (2**32, 0, 1, 1), (2**32 - 1, 0, 2, 1), (0, 2**40, 1, 1), (2**70, 0, 1, 1)],
)
def test_regions_outside(raster, place):
    store, _ = raster
    for ask in (lambda: store.region(0, *place), lambda: store.regions([(0, 0, 0, 1, 1), (0, *place)])):
        with pytest.raises(ValueError) as caught:
            ask()
        assert isinstance(caught.value, pinako.InvalidInputError)


def test_regions_of_many_images(tmp_path):
    images = [pictures(1, 50, 70, seed=n)[0] for n in range(9)] + [pictures(1, 40, 70, dtype="float32")[0]]
    files = io.BytesIO()
    Image.fromarray(images[0]).save(files, "PNG")
    with pinako.open(tmp_path / "s", "w") as store:
        store.append(images[:4], encoding="hilbert:16")
        store.append(images[4:6], encoding="png")
        store.append([*images[6:], files.getvalue()])
        places = [(i * 7 % 9, i % 50, i % 30, 20, 10) for i in range(300)]
        found = store.regions([*places, (10, 1, 2, 20, 10)])
        assert found.shape == (301, 10, 20, 3)
        for cut, (i, x, y, width, height) in zip(found, [*places, (0, 1, 2, 20, 10)]):
            np.testing.assert_array_equal(cut, images[i][y : y + height, x : x + width])
        motley = store.regions([(0, 0, 0, 4, 4), (9, 0, 0, 4, 4)])
        assert [cut.dtype for cut in motley] == [np.uint8, np.float32]
        np.testing.assert_array_equal(motley[1], images[9][:4, :4])
        with pytest.raises(ValueError, match="image 9"):
            store.regions([(0, 0, 0, 60, 45), (9, 0, 0, 60, 45)])


def test_what_is_no_region(raster):
    store, _ = raster
    for wrong in ((0.5, 0, 1, 1), ("0", 0, 1, 1), (None, 0, 1, 1), (0, 0, 1)):
        with pytest.raises(TypeError):
            store.region(0, *wrong)
        with pytest.raises(TypeError):
            store.regions([(0, *wrong)])
    for wrong in (3, None, [3], ["text"], [(0, 0, 0, 1, 1, 1)]):
        with pytest.raises(TypeError):
            store.regions(wrong)
    with pytest.raises(IndexError):
        store.regions([(1, 0, 0, 1, 1)])
    with pytest.raises(KeyError):
        store.region("mars", 0, 0, 1, 1)


def test_explain(raster, tmp_path):
    store, _ = raster
    found = store.explain("earth", 3, 5, 20, 7)
    assert found == store.explain(0, 3, 5, 20, 7, strategies=[])
    assert isinstance(found, dict) and found
    store.explain(0, 3, 5, 20, 7, measure=True)
    with pytest.raises(ValueError):
        store.explain(0, 60, 0, 20, 7)
    with pytest.raises(IndexError):
        store.explain(7, 0, 0, 1, 1)
    with pytest.raises(ValueError):
        store.explain(0, 0, 0, 1, 1, strategies=["no such"])
    if store.info(0).encoding != "png":
        assert len(store.explain(0, 3, 5, 20, 7, strategies=["exact", "grow:8"])) > 0
        store.explain(0, 3, 5, 20, 7, picture=tmp_path / "plan.png")
        assert (tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")
