"""What Python code commonly writes, read by Pinako: what comes out again is what went in."""
import csv
import pickle
import sys

import h5py
import lmdb
import numpy as np
import pytest
from conftest import pinako
from PIL import Image


class CIFAR_Image:
    """An object as people pickle them: shape, bytes, label."""

    def __init__(self, image, label):
        self.channels = image.shape[2]
        self.size = image.shape[:2]
        self.image = image.tobytes()
        self.label = label


# Written by a script of one's own, the class is __main__'s.
CIFAR_Image.__module__ = "__main__"
sys.modules["__main__"].CIFAR_Image = CIFAR_Image


def png_and_csv(folder, images, labels):
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i}.png")
    with open(folder / f"{len(images)}.csv", "w") as file:
        csv.writer(file, delimiter=" ", quotechar="|", quoting=csv.QUOTE_MINIMAL).writerows([label] for label in labels)
    return folder


def lmdb_of_pickles(folder, images, labels):
    folder = folder / f"{len(images)}_lmdb"
    env = lmdb.open(str(folder), map_size=len(images) * images[0].nbytes * 10)
    with env.begin(write=True) as txn:
        for i, (image, label) in enumerate(zip(images, labels)):
            txn.put(f"{i:08}".encode("ascii"), pickle.dumps(CIFAR_Image(image, label)))
    env.close()
    return folder


def hdf5_of_arrays(folder, images, labels):
    path = folder / f"{len(images)}_many.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("images", np.shape(images), h5py.h5t.STD_U8BE, data=images)
        file.create_dataset("meta", np.shape(labels), h5py.h5t.STD_U8BE, data=labels)
    return path


def npz(folder, images, labels):
    np.savez_compressed(folder / "set.npz", images=images, labels=labels)
    return folder / "set.npz"


def cifar_pickles(folder, images, labels):
    planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    batch = {b"data": planes, b"labels": labels.tolist(), b"filenames": [b"%d.png" % i for i in range(len(images))]}
    (folder / "data_batch_1").write_bytes(pickle.dumps(batch, protocol=4))
    meta = {b"label_names": [b"cat", b"dog", b"emu"]}
    (folder / "batches.meta").write_bytes(pickle.dumps(meta, protocol=4))
    return folder


WAYS = [png_and_csv, lmdb_of_pickles, hdf5_of_arrays, npz, cifar_pickles]


@pytest.mark.parametrize("write", WAYS)
def test_what_python_stores_comes_out_of_pinako(write, url, images, labels, tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir()
    pinako("import", write(folder, images, labels), url)
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


def test_bytes_of_python_3_in_an_old_protocol_get_an_error_that_helps(tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(pickle.dumps({b"labels": [1]}, protocol=2))
    assert "with protocol 4" in pinako("import", folder, f"lmdb:{tmp_path / 'store'}", fails=True)
