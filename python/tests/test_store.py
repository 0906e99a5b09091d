"""Stores as sequences of arrays: opened, asked by every sort of index, walked over, closed."""

from __future__ import annotations

import builtins
import copy
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from samples import forked, pictures

import pinako


def test_each_kind_keeps_what_it_is_given(url):
    images = pictures(5)
    with pinako.open(url, "w") as store:
        assert store.append(images, labels=[4, 3, 2, 1, 0], names=list("abcde")) == range(5)
    with pinako.open(url) as store:
        assert len(store) == 5
        np.testing.assert_array_equal(store[:], images)
        np.testing.assert_array_equal(store["c"], images[2])
        np.testing.assert_array_equal(store.labels, [4, 3, 2, 1, 0])
        assert store.verify() == []


def test_a_store_is_found_at_its_path(url, tmp_path):
    with pinako.open(url, "w") as store:
        store.append(pictures(1))
    path = url.split(":", 1)[1]
    for place in (path, Path(path)):
        with pinako.open(place) as store:
            assert len(store) == 1


def test_memory():
    with pinako.open("memory:", "w") as store:
        store.append(pictures(2))
        assert len(store) == 2
    with pinako.open("memory:", "a") as store:
        assert len(store) == 0


def test_reading_needs_a_store(url):
    with pytest.raises(FileNotFoundError) as caught:
        pinako.open(url)
    assert isinstance(caught.value, pinako.PathNotFoundError)
    assert str(caught.value).count("store") >= 1


def test_making_needs_none(url):
    with pinako.open(url, "w") as store:
        store.append(pictures(1))
    with pytest.raises(FileExistsError) as caught:
        pinako.open(url, "w")
    assert isinstance(caught.value, pinako.ConflictError)
    with pinako.open(url, "a") as store:
        assert store.append(pictures(1)) == range(1, 2)


def test_reading_changes_nothing(url):
    with pinako.open(url, "w") as store:
        store.append(pictures(2))
    with pinako.open(url) as store:
        for change in (lambda: store.append(pictures(1)), lambda: store.remove(0), store.compact):
            with pytest.raises(PermissionError) as caught:
                change()
            assert isinstance(caught.value, pinako.DeniedError)
        with pytest.raises(pinako.DeniedError):
            store.label_names = ["a"]
        assert len(store) == 2


@pytest.mark.parametrize("mode", ["x", "rb", "", "R", "r+"])
def test_unknown_modes(tmp_path, mode):
    with pytest.raises(ValueError, match='"r" to read'):
        pinako.open(tmp_path / "s", mode)


def test_what_is_no_path():
    for wrong in (None, 3, 1.5, ["a"]):
        with pytest.raises(TypeError):
            pinako.open(wrong)
    with pytest.raises(TypeError):
        pinako.open("memory:", "a", no_such_option=1)
    with pytest.raises(TypeError):
        pinako.open("memory:", None)


def test_a_path_of_bytes(tmp_path):
    """Which `os.fspath` lets through, and no URL is."""
    with pytest.raises(TypeError):
        pinako.open(os.fsencode(tmp_path / "s"), "a")


def test_one_image(ten):
    store, images = ten
    for index in (0, 9, -1, -10, np.int64(3), np.uint8(3), np.int32(-2), np.array(4)):
        image = store[index]
        np.testing.assert_array_equal(image, images[index])
        assert image.shape == (8, 6, 3) and image.dtype == np.uint8
        assert image.flags.c_contiguous and image.flags.writeable
    np.testing.assert_array_equal(store["picture 7"], images[7])


def test_many_images(ten):
    store, images = ten
    indices = [
        slice(None), slice(2, 5), slice(None, None, 3), slice(None, None, -1), slice(8, 2, -2), slice(-3, None),
        slice(5, 100), slice(5, 2), [5, 2, 5], [-1, 0], range(3, 9, 2), range(0), [], np.array([7, 7, -1]),
        np.array([1, 2], np.uint8), np.arange(10)[::-3], np.array([], np.int64), [np.int64(4)],
    ]
    for index in indices:
        wanted = images[list(index) if isinstance(index, (range, list)) else index] if not (
            isinstance(index, list) and not index
        ) else images[:0]
        found = store[index]
        if len(wanted):
            np.testing.assert_array_equal(found, wanted, err_msg=str(index))
        else:
            assert len(found) == 0, index


@pytest.mark.parametrize("index", [10, -11, 10**12, 2**63, 2**64, 10**30, -(2**63), -(10**30)])
def test_images_that_are_not_there(ten, index):
    store, _ = ten
    for ask in (store.__getitem__, store.info, lambda i: store.region(i, 0, 0, 1, 1), lambda i: store[[i]],
                lambda i: store.take([i])):
        with pytest.raises(IndexError) as caught:
            ask(index)
        assert isinstance(caught.value, pinako.ImageNotFoundError), ask
    assert index not in store


def test_a_name_that_is_not_there_is_a_missing_key(ten):
    store, _ = ten
    with pytest.raises(KeyError) as caught:
        store["nobody"]
    assert isinstance(caught.value, pinako.ImageNotFoundError)
    assert "nobody" in str(caught.value)
    assert "nobody" not in store


def test_many_by_their_names(ten):
    store, images = ten
    names = ["picture 7", "picture 0", "picture 7"]
    for index in (names, np.array(names), np.array(names, object)):
        np.testing.assert_array_equal(store[index], images[[7, 0, 7]])
        np.testing.assert_array_equal(store.take(index), images[[7, 0, 7]])
    np.testing.assert_array_equal(store.take(tuple(names)), images[[7, 0, 7]])
    np.testing.assert_array_equal(store.take(names, out=np.zeros_like(images[:3])), images[[7, 0, 7]])
    with pytest.raises(KeyError, match="nobody"):
        store[["picture 0", "nobody"]]
    assert store.remove(names) == 2 and len(store) == 8 and "picture 7" not in store


@pytest.mark.parametrize(
    "index",
    [1.0, None, True, b"picture 0", [1.5], [None], {1, 2}, ["picture 0", 1], [1, "picture 0"], ["picture 0", None], object(), np.ones(10, bool), [True, False],
     np.float32(1), {"a": 1}, slice("a", "b"), slice(0.5, 2), ..., (1, None), (2, 1), (2, slice(0, 3)), (1,), (), {0: "picture 0"}, np.True_, np.array(True)],
    ids=repr,
)
def test_what_is_no_index(ten, index):
    with pytest.raises(TypeError):
        ten[0][index]


def test_tensors_are_indices_as_arrays_are(ten):
    torch = pytest.importorskip("torch")
    store, images = ten
    np.testing.assert_array_equal(store[torch.tensor(3)], images[3])
    np.testing.assert_array_equal(store[torch.tensor([3])], images[[3]])
    np.testing.assert_array_equal(store[torch.tensor([3, 1])], images[[3, 1]])
    for wrong in (torch.tensor([True]), torch.tensor(True), torch.tensor([1.0]), torch.tensor(1.0)):
        with pytest.raises(TypeError):
            store[wrong]
    with pytest.raises(TypeError):
        store.info(torch.tensor([3]))


def test_indices_of_other_dimensions(ten):
    with pytest.raises(IndexError):
        ten[0][np.zeros((2, 2), int)]


def test_a_slice_without_a_step(ten):
    with pytest.raises(ValueError, match="zero"):
        ten[0][::0]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int16", "float32", "float64"])
def test_large_images_are_arrays_like_others(dtype):
    image = pictures(1, 200, 250, dtype=dtype)[0]
    with pinako.open("memory:", "w") as store:
        store.append([image, image[:3]])
        for found in (store[0], store[:][0], store.region(0, 0, 0, 250, 200), store.regions([(0, 0, 0, 250, 200)])[0]):
            np.testing.assert_array_equal(found, image)
            assert found.dtype == image.dtype and found.flags.c_contiguous and found.flags.writeable and found.flags.aligned
            found[:] = 1
        np.testing.assert_array_equal(store[0], image)


def test_many_of_several_shapes_are_a_list(tmp_path):
    images = [pictures(1, 4, 5)[0], pictures(1, 6, 5)[0], pictures(1, 6, 5, dtype="float32")[0]]
    with pinako.open(tmp_path / "s", "w") as store:
        store.append(images)
        found = store[:]
        assert isinstance(found, list)
        for one, image in zip(found, images):
            assert one.dtype == image.dtype
            np.testing.assert_array_equal(one, image)
        assert isinstance(store[1:], list)  # of one shape, but of two types
        assert isinstance(store[:1], np.ndarray)


def test_gaps(ten):
    store, images = ten
    assert store.remove([3, 4]) == 2
    assert store.remove("picture 9") == 1
    assert len(store) == 7 and store.next_id == 10
    left = [0, 1, 2, 5, 6, 7, 8]
    np.testing.assert_array_equal(store.ids, left)
    np.testing.assert_array_equal(store.labels, left)
    np.testing.assert_array_equal(store[:], images[left])
    np.testing.assert_array_equal(store[2:6], images[[2, 5]])
    np.testing.assert_array_equal(store[::-1], images[left[::-1]])
    np.testing.assert_array_equal(store[-1], images[8])
    np.testing.assert_array_equal(store[[-7, -4]], images[[0, 5]])
    np.testing.assert_array_equal(np.stack(list(store)), images[left])
    assert 3 not in store and 5 in store
    for ask in (lambda: store[3], lambda: store[[2, 3]], lambda: store[-8], lambda: store.take([2, 3])):
        with pytest.raises(IndexError):
            ask()
    assert store.append(images[:1]) == range(10, 11)


@pytest.mark.parametrize("removed", [[299], range(250, 300), range(300), range(0, 300, 2), [0]])
def test_negative_numbers_after_removals(tmp_path, removed):
    """However far back the images are that they mean."""
    images = pictures(301, 2, 2)
    with pinako.open(tmp_path / "s", "w") as store:
        store.append(images)
        store.remove(list(removed))
        left = np.setdiff1d(np.arange(301), removed)
        for far in {1, (len(left) + 1) // 2, len(left)}:
            np.testing.assert_array_equal(store[-far], images[left[-far]])
            np.testing.assert_array_equal(store[[-1, -far, left[0], -far]], images[left[[-1, -far, 0, -far]]])
        for ask in (lambda: store[-1 - len(left)], lambda: store[[-1, -1 - len(left)]]):
            with pytest.raises(IndexError, match=f"{-1 - len(left)} is before the first image"):
                ask()


def test_removing(ten):
    store, _ = ten
    assert store.remove([]) == store.remove(99) == store.remove([10, 77]) == 0
    with pytest.raises(KeyError):
        store.remove("nobody")
    with pytest.raises(IndexError):
        store.remove(-11)
    assert len(store) == 10
    assert store.remove(slice(0, 2)) == 2
    assert store.remove(-1) == 1
    assert list(store.ids) == [2, 3, 4, 5, 6, 7, 8]
    store.compact()
    assert len(store) == 7


def test_walking(tmp_path):
    """Over more images than are in memory at a time."""
    images = pictures(600, 2, 2)
    with pinako.open(tmp_path / "s", "w") as store:
        assert list(store) == []
        store.append(images)
        walk = iter(store)
        np.testing.assert_array_equal(next(walk), images[0])
        np.testing.assert_array_equal(np.stack(list(walk)), images[1:])
        np.testing.assert_array_equal(np.stack(list(reversed(store))), images[::-1])
        assert bool(store)


def test_walking_over_gaps_and_backwards(ten):
    store, images = ten
    store.remove([0, 4, 9])
    left = images[[1, 2, 3, 5, 6, 7, 8]]
    np.testing.assert_array_equal(np.stack(list(store)), left)
    np.testing.assert_array_equal(np.stack(list(reversed(store))), left[::-1])


def test_a_walk_has_few_images_in_memory(monkeypatch):
    """However well they are compressed, whatever the first one is like; and none keeps others in memory."""
    sides = [1, 200, 200, 1, 200, 300, 1]
    lots = []

    class Watched(pinako.Store):
        def _some(self, *arguments):
            lots.append(super()._some(*arguments))
            return lots[-1]

    monkeypatch.setattr("pinako._store._WALK_BYTES", 2 * 200 * 200)
    with Watched("memory:", "w") as store:
        store.append([np.zeros((side, side, 1), np.uint8) for side in sides], encoding="png")
        assert [len(image) for image in store] == sides
        assert [[len(image) for image in lot] for lot in lots] == [[1, 200], [200, 1], [200], [300], [1]]
    for image in (image for lot in lots for image in lot):
        owner = image
        while owner.base is not None and hasattr(owner.base, "nbytes"):
            owner = owner.base
        assert owner.nbytes == image.nbytes


def test_a_large_image_before_small_ones(tmp_path):
    """Of which an array of N such would not fit into memory, and none is needed."""
    with pinako.open(tmp_path / "s", "w") as store:
        store.append([np.zeros((4000, 4000, 1), np.uint8)], encoding="png")
        store.append(pictures(1))
        found = store[[1] * 3 + [0]]
        assert [image.shape for image in found] == [(8, 6, 3)] * 3 + [(4000, 4000, 1)]
        many = store[[0] + [1] * 200_000]
        assert len(many) == 200_001 and many[-1].shape == (8, 6, 3)


def test_membership(ten):
    store, images = ten
    for there in (0, 9, np.int64(9), "picture 0"):
        assert there in store
    for other in (10, -1, -11, "picture", None, 1.5, b"picture 0", 2**70, images[0], [0]):
        assert other not in store


def test_labels_and_their_names(tmp_path):
    with pinako.open(tmp_path / "s", "w") as store:
        store.append(pictures(3), labels=[1, None, 0])
        assert store.labels.dtype == np.int64
        np.testing.assert_array_equal(store.labels, [1, -1, 0])
        assert store.label_names == []
        store.label_names = ["cat", "dog"]
        assert store.label_names == ["cat", "dog"]
        store.label_names = ("cat", "dog", "cow")
        with pytest.raises(TypeError):
            store.label_names = "cat"
        with pytest.raises(TypeError):
            store.label_names = [1, 2]
        assert store.info(1).label is None


def test_info(ten):
    store, images = ten
    info = store.info(3)
    assert (info.id, info.name, info.label, info.shape, info.attributes) == (3, "picture 3", 3, (8, 6, 3), None)
    assert info.dtype == np.uint8 and info.encoding == "raw:row" and info.payload_length == images[3].nbytes
    assert store.info("picture 3") == info == store.info(-7) == store.info(np.int16(3))
    with pytest.raises(TypeError):
        store.info([1])


def test_find(ten):
    store, _ = ten
    assert store.find("picture 4") == 4
    assert store.find("nobody") is None
    assert store.find(["picture 9", "nobody", "picture 0"]) == [9, None, 0]
    assert store.find([]) == []
    with pytest.raises(TypeError):
        store.find(3)


def test_closed_stores(ten):
    store, _ = ten
    assert not store.closed
    store.close()
    store.close()
    assert store.closed
    calls = [
        lambda: store[0], lambda: store[:], lambda: store["a"], lambda: len(store), lambda: list(store),
        lambda: 0 in store, lambda: store.labels, lambda: store.ids, lambda: store.info(0), store.verify,
        lambda: store.append(pictures(1)), lambda: store.region(0, 0, 0, 1, 1), lambda: store.remove(0),
        lambda: store.take([0]), lambda: store.find("a"), lambda: store.copy_to("memory:"), lambda: pickle.dumps(store),
        lambda: store.__enter__(),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="closed"):
            call()
    assert "closed" in repr(store)


def test_what_it_is_called(ten, tmp_path):
    assert repr(ten[0]) == f"<pinako.Store lmdb:{tmp_path / 'ten'}>" == f"<pinako.Store {ten[0].url}>"
    with pinako.open(f"/{tmp_path / 'ten'}") as store:
        assert store.url == ten[0].url, "which opens it, too"
    for url in (f"lmdb:/{tmp_path / 'ten'}", "lmdb://ten"):
        with pytest.raises(ValueError, match="hint: write lmdb:"):
            pinako.open(url, "a")


def test_pickled_stores(ten):
    store, images = ten
    for other in (pickle.loads(pickle.dumps(store)), copy.copy(store), copy.deepcopy(store)):
        np.testing.assert_array_equal(other[:], images)
        assert type(other) is pinako.Store
        other.close()
    assert not store.closed
    with pinako.open(store.url, verify_checksums=False, max_image_bytes=77) as reading:
        with pickle.loads(pickle.dumps(reading)) as other:
            assert other._opening[1:] == ("r", False, 77, False)
            with pytest.raises(PermissionError):
                other.append(images)
    with pinako.open("memory:", "w") as store, pytest.raises(TypeError, match="memory"):
        pickle.dumps(store)


def test_pickles_open_when_they_are_used(tmp_path):
    """A scheduler that only passes one on may not reach the store at all."""
    with pinako.open(tmp_path / "s", "w") as store:
        store.append(pictures(1))
    with pinako.open(tmp_path / "s") as store:
        pickled = pickle.dumps(store)
    (tmp_path / "s").rename(tmp_path / "elsewhere")
    moved = pickle.loads(pickled)
    with pytest.raises(FileNotFoundError):
        len(moved)
    (tmp_path / "elsewhere").rename(tmp_path / "s")
    assert len(moved) == 1


def test_the_working_folder_may_change(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    with pinako.open(f"{kind}:here", "w") as store:
        store.append(pictures(3))
        pickled = pickle.dumps(store)
        (tmp_path / "other").mkdir()
        monkeypatch.chdir(tmp_path / "other")
        assert len(pickle.loads(pickled)) == 3
        assert forked(lambda: store[2])
        assert len(store) == 3


def test_nothing_heavy_is_imported(tmp_path):
    loaded = "import pinako, sys; print(sorted({'torch', 'xarray', 'dask', 'pandas'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", loaded], cwd=tmp_path, text=True).strip() == "[]"


def test_submodules_come_when_they_are_asked_for(tmp_path):
    command = "import pinako; print(pinako.bench.stores.__name__, hasattr(pinako, 'nothing'))"
    done = subprocess.run([sys.executable, "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "stores False\n", done.stderr


def test_the_source_is_no_package(tmp_path):
    shutil.copytree(Path(pinako.__file__).parent, tmp_path / "pinako", ignore=shutil.ignore_patterns("*.so", "*.pyd"))
    done = subprocess.run([sys.executable, "-c", "import pinako"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0 and "install the package" in done.stderr


def test_errors_are_what_numpy_and_the_system_would_raise():
    bases = {
        pinako.ImageNotFoundError: (IndexError, KeyError, pinako.NotFoundError),
        pinako.PathNotFoundError: (FileNotFoundError, pinako.NotFoundError),
        pinako.InvalidInputError: (ValueError,),
        pinako.ConflictError: (FileExistsError,),
        pinako.DeniedError: (PermissionError,),
        pinako.TransientError: (ConnectionError,),
        pinako.BackendError: (OSError,),
    }
    for name in pinako.__all__:
        if name.endswith("Error"):
            error = getattr(pinako, name)
            assert issubclass(error, pinako.PinakoError) and error.__doc__
            assert all(issubclass(error, base) for base in bases.get(error, ()))
            assert str(pickle.loads(pickle.dumps(error()))) == ""
            made = error("what", hint="do so", store="lmdb:x", image=3)
            again = pickle.loads(pickle.dumps(made))
            for one in (made, again):
                assert str(one) == "what\nhint: do so"
                assert (type(one), one.hint, one.store, one.image) == (error, "do so", "lmdb:x", 3)


def test_no_error_is_called_as_one_of_python_s_own():
    assert not [name for name in pinako.__all__ if name.endswith("Error") and hasattr(builtins, name)]


def test_what_errors_know(ten):
    store, _ = ten
    with pytest.raises(pinako.ImageNotFoundError) as caught:
        store[10]
    error = caught.value
    assert (error.image, error.store) == (10, store.url)
    assert "10" in str(error)
    with pytest.raises(pinako.InvalidInputError) as caught:
        store.region(1, 0, 0, 7, 1)
    assert (caught.value.image, caught.value.store) == (1, store.url)
