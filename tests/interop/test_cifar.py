"""Real pictures: CIFAR-10, from class folders, pickles and binary, into each kind of store and from each to each.

The data is looked for in PINAKO_CIFAR (a folder with images/, cifar-10-batches-py/ and cifar-10-batches-bin/), else made
by ../shared/data/make_cifar10.py beside the repository. PINAKO_FULL=1 takes all 60,000 pictures instead of the 10,000 of
the test batch.
"""
import json
import os
import pathlib
import pickle
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, SCHEMES, pinako, server

FULL = os.environ.get("PINAKO_FULL") == "1"
BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"] if FULL else ["test_batch"]
SOURCES = {
    "folders": "images" if FULL else "images/test",
    "pickles": "cifar-10-batches-py" if FULL else "cifar-10-batches-py/test_batch",
    "binary": "cifar-10-batches-bin" if FULL else "cifar-10-batches-bin/test_batch.bin",
}


@pytest.fixture(scope="module")
def cifar(tmp_path_factory):
    if "PINAKO_CIFAR" in os.environ:
        return pathlib.Path(os.environ["PINAKO_CIFAR"])
    script = ROOT.parent / "shared/data/make_cifar10.py"
    if not script.exists():
        pytest.skip("CIFAR-10 is not here: set PINAKO_CIFAR to a folder that has it")
    folder = tmp_path_factory.mktemp("cifar")
    subprocess.run([sys.executable, script, folder], check=True)
    return folder


@pytest.fixture(scope="module")
def pictures(cifar):
    """Pixels and label of every picture, by batch and file name, as Python reads them."""
    found = {}
    for name in BATCHES:
        with open(cifar / "cifar-10-batches-py" / name, "rb") as file:
            batch = pickle.load(file, encoding="bytes")
        pixels = batch[b"data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        for image, label, file_name in zip(pixels, batch[b"labels"], batch[b"filenames"]):
            found[name, file_name.decode()] = image, label
    assert len(found) == 10_000 * len(BATCHES)
    return found


def keys_of(rows, kind, pictures):
    """Which picture each row of a listing is."""
    if kind == "pickles":
        return [tuple(row["name"].split("/")) for row in rows]
    if kind == "binary":
        in_order = list(pictures)
        return [in_order[i] for i in range(len(rows))]
    by_file = {}
    for batch, file_name in pictures:
        by_file["test" if batch == "test_batch" else "train", file_name] = batch, file_name
    keys = []
    for row in rows:
        *above, name, stem = row["name"].removesuffix(".jpg").split("/")
        keys.append(by_file[above[0] if above else "test", f"{name}_s_{stem}.png"])
    return keys


def holds(url, kind, pictures, out):
    """Checks that a store holds exactly the pictures, by exporting all of them to numpy."""
    rows = [json.loads(line) for line in pinako("list", url, "--json").splitlines()]
    assert len(rows) == len(pictures)
    pinako("export", url, out)
    pixels, labels = np.load(out), np.load(out.with_suffix(".labels.npy"))
    keys = keys_of(rows, kind, pictures)
    assert len(set(keys)) == len(pictures)
    expected = np.stack([pictures[key][0] for key in keys])
    if kind == "folders":
        # JPEG leaves rounding to the decoder: ours and Pillow's differ by a level here and there, of 255.
        difference = np.abs(pixels.astype(np.int16) - expected)
        assert difference.max() <= 8 and difference.mean() < 0.5
    else:
        assert (pixels == expected).all()
    assert labels.tolist() == [pictures[key][1] for key in keys]


@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_into_every_store_gives_the_same_pictures(kind, url, cifar, pictures, tmp_path):
    pinako("import", cifar / SOURCES[kind], url)
    holds(url, kind, pictures, tmp_path / "out.npy")


@pytest.mark.parametrize("to", SCHEMES)
def test_copies_are_equal(to, url, cifar, pictures, tmp_path):
    pinako("import", cifar / SOURCES["pickles"], url)
    copy = f"{to}:{tmp_path / 'copy'}"
    pinako("copy", url, copy)
    assert pinako("list", copy, "--json") == pinako("list", url, "--json")
    holds(copy, "pickles", pictures, tmp_path / "out.npy")


def test_copies_from_store_to_store_by_way_of_servers_are_equal(cifar, pictures, tmp_path):
    own = f"cifar_{os.getpid()}"
    stores = [
        f"lmdb:{tmp_path / 'first'}",
        f"{server('PINAKO_TEST_S3')}/{own}",
        f"{server('PINAKO_TEST_POSTGRES')}?schema={own}",
        f"hdf5:{tmp_path / 'last'}",
    ]
    pinako("import", cifar / SOURCES["pickles"], stores[0])
    for one, next_one in zip(stores, stores[1:]):
        pinako("copy", one, next_one)
        assert pinako("list", next_one, "--json") == pinako("list", one, "--json")
    for place, store in enumerate(stores[1:]):
        holds(store, "pickles", pictures, tmp_path / f"out{place}.npy")
