#!/usr/bin/env python3
"""Writes a few small images in every kind of file that `pinako import` reads, by the libraries that people use.

    python3 tests/interop/make_sources.py OUT

The tests beside it use its functions too. Needs numpy, Pillow, lmdb and h5py. `crates/pinako/tests/data/` holds its output, which the tests read, so that they
need no Python. Image i is `picture(i)`, its label `label(i)`; `tests/sources.rs` knows the same formulas.
"""
import argparse
import csv
import gzip
import pathlib
import pickle
import struct

import h5py
import lmdb
import numpy as np
from PIL import Image

CLASSES = ["airplane", "automobile", "bird"]


def picture(i, height=32, width=32, channels=3, dtype=np.uint8):
    """Sample p of image i, in row-major order with channels last, is (p // 8) * (i + 1) + i."""
    size = height * width * channels
    return ((np.arange(size) // 8) * (i + 1) + i).astype(dtype).reshape(height, width, channels)


def label(i):
    return 2 - i


class CIFAR_Image:
    """As the tutorial has it, in the module that it has it in."""

    def __init__(self, image, label):
        self.channels = image.shape[2]
        self.size = image.shape[:2]
        self.image = image.tobytes()
        self.label = label


CIFAR_Image.__module__ = "__main__"


def store_single_disk(folder, image, image_id, label):
    Image.fromarray(image).save(folder / f"{image_id}.png")
    with open(folder / f"{image_id}.csv", "wt") as csvfile:
        writer = csv.writer(csvfile, delimiter=" ", quotechar="|", quoting=csv.QUOTE_MINIMAL)
        writer.writerow([label])


def store_many_disk(folder, images, labels):
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i}.png")
    with open(folder / f"{len(images)}.csv", "w") as csvfile:
        writer = csv.writer(csvfile, delimiter=" ", quotechar="|", quoting=csv.QUOTE_MINIMAL)
        for label in labels:
            writer.writerow([label])


def store_many_lmdb(folder, images, labels, protocol=None):
    env = lmdb.open(str(folder), map_size=max(len(images) * images[0].nbytes * 10, 1 << 20))
    with env.begin(write=True) as txn:
        for i in range(len(images)):
            txn.put(f"{i:08}".encode("ascii"), pickle.dumps(CIFAR_Image(images[i], labels[i]), protocol))
    env.close()


def store_single_hdf5(folder, image, image_id, label):
    with h5py.File(folder / f"{image_id}.h5", "w") as file:
        file.create_dataset("image", np.shape(image), h5py.h5t.STD_U8BE, data=image)
        file.create_dataset("meta", np.shape(label), h5py.h5t.STD_U8BE, data=label)


def store_many_hdf5(folder, images, labels):
    with h5py.File(folder / f"{len(images)}_many.h5", "w") as file:
        file.create_dataset("images", np.shape(images), h5py.h5t.STD_U8BE, data=images)
        file.create_dataset("meta", np.shape(labels), h5py.h5t.STD_U8BE, data=labels)


def make(folder, function, *arguments):
    folder.mkdir(parents=True, exist_ok=True)
    function(folder, *arguments)


def cifar_pickles(folder, images, labels, protocol, key=lambda name: name.encode()):
    planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    batch = {key("batch_label"): key("a batch"), key("labels"): labels, key("data"): planes,
             key("filenames"): [key(f"picture_{i}.png") for i in range(len(images))]}
    (folder / "data_batch_1").write_bytes(pickle.dumps(batch, protocol))
    meta = {key("num_cases_per_batch"): len(images), key("label_names"): [key(c) for c in CLASSES]}
    (folder / "batches.meta").write_bytes(pickle.dumps(meta, protocol))


def cifar_100(folder, images, labels):
    planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    batch = {b"fine_labels": labels, b"coarse_labels": [i + 10 for i in range(len(images))], b"data": planes,
             b"filenames": [b"same.png"] * len(images)}
    (folder / "train").write_bytes(pickle.dumps(batch, 4))
    meta = {b"fine_label_names": [c.encode() for c in CLASSES], b"coarse_label_names": [b"x"] * 20}
    (folder / "meta").write_bytes(pickle.dumps(meta, 4))


def idx(folder, images, labels):
    def write(name, array, code):
        head = struct.pack(">BBBB", 0, 0, code, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
        with gzip.GzipFile(folder / name, "wb", mtime=0) as file:
            file.write(head + array.tobytes())
    write("train-images-idx3-ubyte.gz", images[..., 0], 8)
    write("train-labels-idx1-ubyte.gz", np.array(labels, np.uint8), 8)


def numpy_files(folder, images, labels):
    np.save(folder / "set.npy", images)
    np.save(folder / "set.labels.npy", np.array(labels))
    np.save(folder / "big_endian.npy", np.stack([picture(i, 2, 3, 1, ">u2")[..., 0] for i in range(2)]))
    np.save(folder / "floats.npy", np.stack([picture(i, 2, 3, 2, "<f4") for i in range(2)]))
    np.save(folder / "fortran.npy", np.asfortranarray(np.stack([picture(i, 2, 3) for i in range(2)])))
    np.savez(folder / "stored.npz", images=images, labels=np.array(labels, ">i4"))
    np.savez_compressed(folder / "two.npz", x_train=images, y_train=np.array(labels), x_test=images[1:2],
                        y_test=np.array(labels[1:2]).reshape(1, 1))


def hdf5_files(folder, images, labels):
    store_many_hdf5(folder, images, labels)
    store_single_hdf5(folder, images[1], 1, labels[1])
    with h5py.File(folder / "chunked.h5", "w") as file:
        file["images"] = picture(0, 2, 3, 1, ">u2")[None]
    with h5py.File(folder / "latest.h5", "w", libver="latest") as file:
        file.create_dataset("images", data=images, chunks=(1, 32, 32, 3), compression="gzip")
        file.create_dataset("meta", data=np.array(labels))


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("out", type=pathlib.Path)
    out = arguments.parse_args().out
    images = np.stack([picture(i) for i in range(2)])
    labels = [label(i) for i in range(2)]
    for protocol in (3, 4, 5):
        make(out / f"cifar-10-protocol-{protocol}", cifar_pickles, images, labels, protocol)
    make(out / "cifar-10-text-keys", cifar_pickles, images, labels, 4, str)
    make(out / "cifar-100", cifar_100, images, labels)
    make(out / "idx", idx, images, labels)
    make(out / "numpy", numpy_files, images, labels)
    make(out / "png-csv", store_many_disk, images, labels)
    make(out / "png-csv-single", store_single_disk, images[0], 0, labels[0])
    store_single_disk(out / "png-csv-single", images[1], 1, labels[1])
    make(out / "lmdb", store_many_lmdb, images, [labels[0], np.int64(labels[1])])
    make(out / "hdf5", hdf5_files, images, labels)
    for lock in out.glob("*/lock.mdb"):
        lock.unlink()


if __name__ == "__main__":
    main()
