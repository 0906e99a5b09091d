"""Windows of large images for xarray and Dask."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
from samples import pictures

import pinako

if os.environ.get("CI"):
    import dask
    import xarray
else:
    xarray = pytest.importorskip("xarray")
    dask = pytest.importorskip("dask")

IMAGE = pictures(1, 90, 70, dtype="int16")[0]


# Chunks of a test are small.
pytestmark = pytest.mark.filterwarnings("ignore:The specified chunks separate:UserWarning")


@pytest.fixture(params=["row", "hilbert:16", "png"])
def url(request, tmp_path):
    with pinako.open(tmp_path / "earth", "w") as store:
        image = IMAGE.astype("uint16") if request.param == "png" else IMAGE
        store.append([image], names=["earth"], labels=[7], attributes=[{"unit": "m"}], encoding=request.param)
    return tmp_path / "earth"


@pytest.fixture
def earth(tmp_path):
    with pinako.open(tmp_path / "earth", "w") as store:
        store.append([IMAGE], names=["earth"], encoding="hilbert:16")
    with xarray.open_dataset(tmp_path / "earth", engine="pinako") as dataset:
        yield dataset


def test_what_a_dataset_says(url):
    with xarray.open_dataset(url, engine="pinako") as dataset:
        assert dataset.image.dims == ("y", "x", "channel") and dataset.image.shape == (90, 70, 3)
        assert dataset.attrs["name"] == "earth" and dataset.attrs["label"] == 7 and dataset.attrs["id"] == 0
        assert dataset.image.attrs == {"unit": "m"}
        np.testing.assert_array_equal(dataset.image.values.astype("int16"), IMAGE)


KEYS = [
    (), (3,), (-1,), (slice(None),), (slice(10, 20), slice(5, 9)), (slice(None, None, 7), slice(60, 3, -4)),
    (slice(None, None, -1), slice(None, None, -1), slice(None, None, -1)), (slice(5, 5),), (slice(50, 20), 3),
    (slice(0, 500),), (slice(-10, None), slice(-5, -2), -1), (4, 5, 2), (4, slice(2, 9), slice(0, 2)),
    (slice(89, None, -30), slice(0, 1)), (slice(3, 4, 100), slice(69, None, -100)), ([3, 1, 3],), ([], [0, 1]),
    ([5, 2], [0, 69, 3], [2, 0]), (slice(2, 30, 3), [7, -1]), (np.array([True] + [False] * 89),), (..., 0), (np.int64(2), np.array([4, 4])),
]


@pytest.mark.parametrize("between", [None, 0, 70])
@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_windows_are_what_numpy_cuts(earth, key, between, monkeypatch):
    if between is not None:  # the stretches that are read by themselves are few in so small an image
        monkeypatch.setattr("pinako.xarray._BETWEEN", between)
    lists = [n for n, one in enumerate(key) if isinstance(one, (list, np.ndarray))]
    wanted = IMAGE
    if lists:  # xarray takes each axis by itself
        for axis in reversed(range(len(key))):
            part = np.asarray(key[axis], int) if isinstance(key[axis], list) else key[axis]
            wanted = wanted[(slice(None),) * axis + (part,)]
    else:
        wanted = wanted[key]
    found = earth.image[key]
    np.testing.assert_array_equal(found.values, wanted)
    assert found.values.dtype == IMAGE.dtype


def test_points_and_windows_of_windows(earth):
    y, x = xarray.DataArray([3, 80, 3], dims="p"), xarray.DataArray([0, 69, 5], dims="p")
    np.testing.assert_array_equal(earth.image[y, x].values, IMAGE[[3, 80, 3], [0, 69, 5]])
    np.testing.assert_array_equal(earth.image[10:60:2][5:9, ::-1].values, IMAGE[10:60:2][5:9, ::-1])
    np.testing.assert_array_equal(earth.isel(x=slice(3, 6), channel=1).image.values, IMAGE[:, 3:6, 1])


def test_indices_outside(earth):
    for key in ((90,), (0, 70), (0, 0, 3)):
        with pytest.raises(IndexError):
            earth.image[key].values


def test_only_what_is_asked_for_is_read(earth, monkeypatch):
    asked = []
    region = pinako.Store.region
    monkeypatch.setattr(pinako.Store, "region", lambda self, *place: asked.append(place) or region(self, *place))
    earth.image[10:20, 30:33].values
    assert asked == [(0, 30, 10, 3, 10)]
    earth.image[4, 5].values
    assert asked[1:] == [(0, 5, 4, 1, 1)]


WIDE = pictures(1, 600, 2400)[0]


@pytest.mark.parametrize("key, pixels", [
    ((slice(None, None, 100), slice(None, None, 100)), 6 * 2301),
    ((slice(None, None, -100), slice(3, 5)), 501 * 2),
    ((xarray.DataArray([0, 599], dims="p"), xarray.DataArray([0, 2399], dims="p")), 2 * 2400),
    ((slice(None), [2399, 0]), 600 * 2),
    ((slice(None), slice(None, None, 5)), 600 * 2396),  # strips of columns would take longer
    (([0, 1, 2, 500], slice(None)), 4 * 2400),
    ((slice(100, 200, 2), slice(0, 100, 3)), 99 * 100),
], ids=repr)
def test_what_lies_between_is_not_read(tmp_path, key, pixels, monkeypatch):
    """Memory for a far overview, or a few points, is not that for all of the image."""
    asked = []
    region, regions = pinako.Store.region, pinako.Store.regions
    monkeypatch.setattr(pinako.Store, "region", lambda self, *one: asked.append(one) or region(self, *one))
    monkeypatch.setattr(pinako.Store, "regions", lambda self, many: asked.extend(many) or regions(self, many))
    with pinako.open(tmp_path / "wide", "w") as store:
        store.append([WIDE])
    with xarray.open_dataset(tmp_path / "wide", engine="pinako") as dataset:
        found = dataset.image[key].values
        numpy_key = tuple(one.values if isinstance(one, xarray.DataArray) else one for one in key)
        np.testing.assert_array_equal(found, WIDE[numpy_key])
    assert sum(width * height for *_, width, height in asked) == pixels


def test_an_image_by_id_or_name(tmp_path):
    images = pictures(3)
    with pinako.open(tmp_path / "s", "w") as store:
        store.append(images, names=list("abc"))
        with pytest.raises(ValueError, match="3 images"):
            xarray.open_dataset(tmp_path / "s", engine="pinako")
        for image, place in ((1, 1), ("c", 2), (-1, 2)):
            with xarray.open_dataset(tmp_path / "s", engine="pinako", image=image) as dataset:
                np.testing.assert_array_equal(dataset.image.values, images[place])
                assert dataset.attrs["id"] == place
        for image, error in ((3, IndexError), ("d", KeyError), (1.5, TypeError)):
            with pytest.raises(error):
                xarray.open_dataset(tmp_path / "s", engine="pinako", image=image)
        store.remove([0, 2])
        with xarray.open_dataset(tmp_path / "s", engine="pinako") as dataset:
            assert dataset.attrs["id"] == 1
        store.remove(1)
        with pytest.raises(ValueError, match="0 images"):
            xarray.open_dataset(tmp_path / "s", engine="pinako")
    with pytest.raises(FileNotFoundError):
        xarray.open_dataset(tmp_path / "nothing", engine="pinako")


def test_a_store_that_is_open_stays_so(tmp_path):
    with pinako.open(tmp_path / "s", "w") as store:
        store.append([IMAGE])
        with xarray.open_dataset(store, engine="pinako") as dataset:
            np.testing.assert_array_equal(dataset.image[:3].values, IMAGE[:3])
        assert len(store) == 1


def test_options_of_stores(tmp_path):
    with pinako.open(tmp_path / "s", "w") as store:
        store.append([IMAGE])
        for of in (store, tmp_path / "s"):
            with pytest.raises(TypeError, match="verify"):
                xarray.open_dataset(of, engine="pinako", verify=False)
        with pytest.raises(TypeError, match="verify_checksums"):
            xarray.open_dataset(store, engine="pinako", verify_checksums=False)
    with xarray.open_dataset(tmp_path / "s", engine="pinako", verify_checksums=False) as dataset:
        np.testing.assert_array_equal(dataset.image.values, IMAGE)


def test_several_stores_as_one(tmp_path, monkeypatch):
    """Each given by a path, a path in the folder at hand, and a URL with either."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "c:d", "e"):
        with pinako.open(f"lmdb:{name}", "w") as store:
            store.append([IMAGE])
    given = [str(tmp_path / "a"), "b", "lmdb:a", f"lmdb:{tmp_path / 'b'}", tmp_path / "c:d", "lmdb:c:d"]
    for parallel in (False, True):
        with xarray.open_mfdataset(
            given, engine="pinako", combine="nested", concat_dim="time", chunks={}, parallel=parallel
        ) as dataset:
            assert dataset.image.shape == (6, *IMAGE.shape)
            np.testing.assert_array_equal(dataset.image[4, 3:9].values, IMAGE[3:9])
    with xarray.open_mfdataset("[ab]", engine="pinako", combine="nested", concat_dim="time", chunks={}) as dataset:
        assert dataset.image.shape == (2, *IMAGE.shape)
    with pytest.raises(FileNotFoundError):
        xarray.open_mfdataset(["lmdb:nothing"], engine="pinako")


def test_the_engine_of_a_store_is_known(tmp_path):
    with pinako.open(tmp_path / "s", "w") as store:
        store.append([IMAGE])
        with xarray.open_dataset(store) as dataset:
            assert dataset.image.shape == IMAGE.shape


def test_variables_that_are_dropped(earth, tmp_path):
    for dropped in ("image", ["image"]):
        with xarray.open_dataset(tmp_path / "earth", engine="pinako", drop_variables=dropped) as dataset:
            assert not dataset.data_vars


def test_chunks_in_threads(url):
    with dask.config.set(scheduler="threads", num_workers=4):
        with xarray.open_dataset(url, engine="pinako", chunks={"y": 32, "x": 17}) as dataset:
            assert dataset.image.chunks == ((32, 32, 26), (17, 17, 17, 17, 2), (3,))
            np.testing.assert_array_equal(dataset.image.values.astype("int16"), IMAGE)
            assert int((dataset.image.astype("int64").sum()).compute()) == IMAGE.astype(dataset.image.dtype).sum(dtype="int64")
            np.testing.assert_array_equal(dataset.image[5:50:3, 60:2:-1].values.astype("int16"), IMAGE[5:50:3, 60:2:-1])
        with xarray.open_dataset(url, engine="pinako", chunks={}) as dataset:
            assert dataset.image.chunks == ((90,), (70,), (3,))


def test_chunks_in_processes(url):
    with xarray.open_dataset(url, engine="pinako", chunks={"y": 45}) as dataset:
        mean = dataset.image.mean(("y", "x"))
        for scheduler in ("processes", "synchronous"):
            found = mean.compute(scheduler=scheduler, num_workers=2).values
            np.testing.assert_allclose(found, IMAGE.astype(dataset.image.dtype).mean((0, 1)))


@pytest.mark.filterwarnings("ignore")  # of the cluster's own
def test_chunks_on_a_cluster(earth, tmp_path):
    distributed = pytest.importorskip("distributed")
    with dask.config.set({"distributed.worker.daemon": True}):
        with distributed.LocalCluster(
            2, processes=True, threads_per_worker=2, dashboard_address=None, local_directory=str(tmp_path)
        ) as cluster, distributed.Client(cluster):
            with xarray.open_dataset(tmp_path / "earth", engine="pinako", chunks={"y": 30, "x": 35}) as dataset:
                np.testing.assert_array_equal(dataset.image.compute().values, IMAGE)
                np.testing.assert_array_equal(dataset.image[::-3, 3:60].compute().values, IMAGE[::-3, 3:60])
                with pinako.open(tmp_path / "earth", "a") as store:
                    store.remove("earth")
                with pytest.raises(pinako.ImageNotFoundError) as caught:
                    dataset.image.compute()
                assert caught.value.image == 0


def test_pickled_datasets(earth):
    again = pickle.loads(pickle.dumps(earth))
    np.testing.assert_array_equal(again.image[5:9].values, IMAGE[5:9])
    again.close()
    window = pickle.loads(pickle.dumps(earth.image[5:20, ::2]))
    np.testing.assert_array_equal(window.values, IMAGE[5:20, ::2])


def test_a_closed_dataset(earth, tmp_path):
    dataset = xarray.open_dataset(tmp_path / "earth", engine="pinako", cache=False)
    dataset.close()
    with pytest.raises(ValueError, match="closed"):
        dataset.image.values


def test_a_removed_image(tmp_path):
    with pinako.open(tmp_path / "s", "w") as store:
        store.append([IMAGE])
        with xarray.open_dataset(tmp_path / "s", engine="pinako", cache=False) as dataset:
            store.remove(0)
            with pytest.raises(IndexError):
                dataset.image[0].values
