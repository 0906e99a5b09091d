"""Engines that people already run read the parts of an object store, and come to what Pinako itself comes to.

DataFusion takes minutes to build, so its part runs with PINAKO_FULL=1 and with CI set.
"""
import json
import os
import subprocess
import sys
import uuid

import numpy as np
import pytest
from conftest import ROOT, pinako, server
from PIL import Image

sys.path.insert(0, str(ROOT / "examples"))
import pinako_parts  # noqa: E402

ENGINE = ROOT / "examples/mean-colour-datafusion"


def rows_of(*command, fails=False):
    """Runs a program with --json; gives its rows, and what it said besides."""
    done = subprocess.run([*map(str, command), "--json"], capture_output=True, text=True)
    assert (done.returncode != 0) == fails, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def dask(url, **how):
    return rows_of(sys.executable, ROOT / "examples/mean_colour_dask.py", url, "--workers", 2, **how)


@pytest.fixture(scope="session")
def baseline():
    """The example that reads by Pinako itself; it is there already when scripts/test.sh runs this."""
    subprocess.run(["cargo", "build", "--quiet", "--workspace", "--example", "mean_colour"], cwd=ROOT, check=True)
    return lambda url: rows_of(ROOT / "target/debug/examples/mean_colour", url)


@pytest.fixture(scope="session")
def datafusion():
    if not {"CI", "PINAKO_FULL"} & os.environ.keys():
        pytest.skip("DataFusion takes minutes to build: set PINAKO_FULL=1")
    subprocess.run(["cargo", "build", "--quiet", "--locked"], cwd=ENGINE, check=True)
    return lambda url, **how: rows_of(ENGINE / "target/debug/mean-colour-datafusion", url, **how)


@pytest.fixture(params=["object", "s3"])
def url(request, tmp_path):
    """Where an object store may be made."""
    if request.param == "object":
        return f"object:{tmp_path / 'store'}"
    return f"{server('PINAKO_TEST_S3')}/engines-{uuid.uuid4().hex}"


def is_removed(id):
    return id % 7 == 3 or 50 <= id < 60


@pytest.fixture
def store(url, tmp_path, images, labels):
    """A store of several parts with pictures in each form, some of them removed; gives those left and their labels."""
    pictures = []  # in the order of their ids

    def add_files():
        for i in np.argsort(labels, kind="stable"):  # class by class
            file = tmp_path / "kept" / ["cat", "dog", "emu"][labels[i]] / f"{i:04}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[i]).save(file)
            pictures.append((images[i], int(labels[i])))
        pinako("import", tmp_path / "kept", url)

    def add_array(name, array, labels, *options):
        np.save(tmp_path / f"{name}.npy", array)
        np.save(tmp_path / f"{name}.labels.npy", labels)
        pinako("import", tmp_path / f"{name}.npy", url, *options)
        pictures.extend((picture, None if label < 0 else int(label)) for picture, label in zip(array, labels))

    add_files()
    add_array("rows", images, labels, "--encoding", "raw")
    add_array("curve", 255 - images[:, :30, :17], labels, "--encoding", "raw", "--layout", "hilbert")
    add_array("png", images // 2, labels, "--encoding", "png")
    add_array("grey", images[..., 0], 2 - labels, "--encoding", "raw")
    add_array("deep", images.astype(np.uint16), labels)
    add_array("free", images[::-1], labels * 0 - 1, "--encoding", "raw")
    pinako("remove", url, *filter(is_removed, range(len(pictures))))
    return [picture for id, picture in enumerate(pictures) if not is_removed(id)]


def test_engines_come_to_what_pinako_comes_to(url, store, baseline):
    expected = {}
    for picture, label in store:
        if picture.dtype == np.uint8:
            pixels = picture.reshape(-1, 1 if picture.ndim == 2 else 3).astype(int)
            of_label = expected.setdefault(label, np.zeros(5, int))
            of_label += [1, len(pixels), *np.broadcast_to(pixels.sum(0), 3)]
    left_out = sum(picture.dtype != np.uint8 for picture, _ in store)

    rows, said = baseline(url)
    assert {row["label"]: [row["images"], row["pixels"], *row["sums"]] for row in rows} == \
        {label: sums.tolist() for label, sums in expected.items()}
    assert [(row["label"], row["name"]) for row in rows] == [(None, None), (0, "cat"), (1, "dog"), (2, "emu")]
    assert f"left out: {left_out} images" in said

    by_dask, said = dask(url)
    assert by_dask == rows
    assert f"left out: {left_out} images" in said
    read = {line.split()[1]: set(line.split()[5:]) for line in said.splitlines() if line.startswith("process")}
    assert len(read) == 2 and all(read.values()), "both workers had something to do"
    first, second = read.values()
    assert first.isdisjoint(second)
    assert first | second == {f"{part['part']:016x}" for part in pinako_parts.Store(url).parts}


def test_datafusion_comes_to_what_pinako_comes_to(url, store, baseline, datafusion):
    rows, said = datafusion(url)
    assert (rows, said) == baseline(url)
    assert len(rows) == 4 and said.startswith("left out: ")


@pytest.fixture(scope="module")
def raster(tmp_path_factory):
    """A store of one image that is too long for one file; gives its URL and its pixels."""
    folder = tmp_path_factory.mktemp("raster")
    pixels = np.resize(np.arange(251, dtype=np.uint8), (4801, 4799, 3))
    np.save(folder / "raster.npy", pixels[None])
    url = f"object:{folder / 'store'}"
    pinako("import", folder / "raster.npy", url)
    [part] = pinako_parts.Store(url).parts
    assert part["kind"] == "pieces" and len(part["pieces"]) > 1
    return url, pixels


def test_dask_puts_an_image_in_pieces_together(raster, baseline):
    url, pixels = raster
    rows, _ = dask(url)
    assert rows[0]["sums"] == pixels.sum((0, 1), dtype=int).tolist()
    assert rows == baseline(url)[0]


def test_datafusion_refuses_an_image_in_pieces(raster, datafusion):
    rows, said = datafusion(raster[0], fails=True)
    assert rows == [] and "image 0 is in pieces" in said
