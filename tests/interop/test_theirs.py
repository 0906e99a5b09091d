"""What Python code commonly writes, read by Pinako: what comes out again is what went in."""
import pickle
import sys

import make_sources
import numpy as np
import pytest
from PIL import Image
from conftest import pinako

# `pickle` looks for the class where it says it is from.
sys.modules["__main__"].CIFAR_Image = make_sources.CIFAR_Image


def npz(folder, images, labels):
    np.savez_compressed(folder / "set.npz", images=images, labels=labels)
    return folder / "set.npz"


def cifar_pickles(folder, images, labels, protocol=4):
    make_sources.cifar_pickles(folder, images, labels.tolist(), protocol)


# Each writes into a folder, which is imported unless it gives something else.
WAYS = [make_sources.store_many_disk, make_sources.store_many_lmdb, make_sources.store_many_hdf5, npz, cifar_pickles]


@pytest.mark.parametrize("write", WAYS)
def test_what_python_stores_comes_out_of_pinako(write, url, images, labels, tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir()
    pinako("import", write(folder, images, labels) or folder, url)
    pinako("export", url, tmp_path / "out.npy")
    assert (np.load(tmp_path / "out.npy") == images).all()
    assert (np.load(tmp_path / "out.labels.npy") == labels).all()


def test_a_pickle_that_calls_something_is_refused_and_calls_nothing(tmp_path):
    class Evil:
        def __reduce__(self):
            import os

            return os.system, (f"touch {tmp_path / 'called'}",)

    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(pickle.dumps({b"data": Evil(), b"labels": [1]}))
    message = pinako("import", folder, f"lmdb:{tmp_path / 'store'}", fails=True)
    assert "data_batch_1" in message
    assert not (tmp_path / "called").exists()


@pytest.mark.parametrize("write", [make_sources.store_many_lmdb, cifar_pickles])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_every_protocol_are_read_or_get_an_error_that_helps(write, protocol, images, labels, tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir()
    write(folder, images, labels, protocol)
    store = f"lmdb:{tmp_path / 'store'}"
    if protocol < 3:
        assert "write it anew: pickle.dump(..., protocol=4)" in pinako("import", folder, store, fails=True)
    else:
        pinako("import", folder, store)
        pinako("export", store, tmp_path / "out.npy")
        assert (np.load(tmp_path / "out.npy") == images).all()


@pytest.mark.parametrize("name", ["a.jpg", "progressive.jpg", "a.png", "a.webp", "lossless.webp", "a.tif", "lzw.tif", "a.bmp", "a.gif", "a.ppm"])
def test_a_picture_that_was_cut_off_is_refused(name, images, tmp_path):
    options = {"progressive.jpg": {"progressive": True}, "lossless.webp": {"lossless": True}, "lzw.tif": {"compression": "tiff_lzw"}}
    whole = tmp_path / name
    Image.fromarray(np.concatenate(images)).save(whole, **options.get(name, {}))
    pinako("import", whole, tmp_path / "whole")
    content = whole.read_bytes()
    for length in [len(content) // 2, len(content) - 20]:
        cut = tmp_path / f"cut-{name}"
        cut.write_bytes(content[:length])
        for encoding in [[], ["--encoding", "raw"]]:
            message = pinako("import", *encoding, cut, tmp_path / "cut", fails=True)
            assert f"cut-{name}" in message, message
