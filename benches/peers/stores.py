#!/usr/bin/env python3
"""Stores and reads many small images with Pinako and with what people use from Python, side by side.

    make python build && cargo bench -p pinako --bench peer --no-run
    .venv/bin/python benches/peers/stores.py [--data IMAGES.npy] [--count 100000] [--repeat 5] [--out FILE.json]

The sides in PostgreSQL take part, without TLS, where there is a server: .venv/bin/python scripts/servers.py run --only postgres -- ...

Every measurement is a process of its own; the sides take turns, and the order turns round from one repetition to the
next, so that a machine that slows down slows all. Medians, and ratios of medians, are printed. A store is timed until
it is on the disk; reads come from the page cache but for those called cold. All images are read twice by a process, and
the second time counts: into the same array, where a side fills one that it is given. Stores are deleted at the end only,
which takes some 3 GB a repetition: a disk may be busy for a while with discarding what another side deleted, and ext4
without a journal passes over inodes that were freed in the last minutes one by one.

The sides:
  seed-png, seed-lmdb, seed-hdf5   the ways of "three ways of storing and accessing lots of images in Python": PNG files
                                   and a CSV, LMDB of pickled objects, HDF5
  lmdb                             python-lmdb, raw bytes, appended in one transaction, no read-ahead
  sqlite3                          Python's sqlite3, a row an image, one transaction
  psycopg                          a row an image, loaded by COPY BINARY, read by id = any(...) and by prepared statement
  psycopg-external                 the same, with the pixels' column uncompressed (STORAGE EXTERNAL)
  ffcv                             FFCV's loader, raw pixels, in order, once it has compiled itself; where it is installed
                                   (pip install ffcv torch numba; Debian: libopencv-dev libturbojpeg0-dev)
  package-lmdb                     Pinako's Python package, where that is installed (pip install ./python)
  package-open                     the same of a store that stays open, as FFCV's loader does
  pinako-files, -lmdb, -hdf5, -sqlite, -postgres
  bare-postgres                    tokio-postgres' own prepared statement for one payload of pinako-postgres' store, and
                                   nothing else: what one round trip takes
  floor-files                      files as long as the images' PNG files are made and synced, and nothing else: what this
                                   machine's file system allows
"""
import argparse
import csv
import importlib.util
import json
import os
import pathlib
import pickle
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from common import forget, peer_binary

HERE = pathlib.Path(__file__).resolve()
OPERATIONS = ["store", "read_all", "read_one", "cold_one"]
WARM_READS, COLD_READS = 20_000, 300


class Picture:
    """What the report's LMDB holds: an object with its bytes, pickled."""

    def __init__(self, image, label):
        self.channels, self.size = image.shape[2], image.shape[:2]
        self.image, self.label = image.tobytes(), label

    def array(self):
        return np.frombuffer(self.image, dtype=np.uint8).reshape(*self.size, self.channels)


class SeedPng:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def store(self, images, labels):
        from PIL import Image

        self.folder.mkdir()
        for i, image in enumerate(images):
            Image.fromarray(image).save(self.folder / f"{i}.png")
        with open(self.folder / f"{len(images)}.csv", "w") as file:
            writer = csv.writer(file, delimiter=" ", quotechar="|", quoting=csv.QUOTE_MINIMAL)
            writer.writerows([label] for label in labels)
        os.sync()

    def open(self):
        from PIL import Image

        self.load = Image.open

    def close(self):
        pass

    def one(self, i):
        return np.array(self.load(self.folder / f"{i}.png"))

    def read_all(self, count, out):
        with open(self.folder / f"{count}.csv") as file:
            labels = [int(row[0]) for row in csv.reader(file, delimiter=" ", quotechar="|")]
        return [self.one(i) for i in range(count)], labels


class Lmdb:
    """python-lmdb at its best: raw bytes, big-endian keys, append, no read-ahead."""

    def __init__(self, folder):
        self.folder = str(folder)

    def key(self, i):
        return i.to_bytes(8, "big")

    def encode(self, image, label):
        return image.tobytes()

    def decode(self, value):
        return np.frombuffer(value, np.uint8).reshape(32, 32, 3)

    def options(self):
        return {"readahead": False}

    def store(self, images, labels):
        import lmdb

        env = lmdb.open(self.folder, map_size=len(images) * images[0].nbytes * 10 + (1 << 20))
        with env.begin(write=True) as txn:
            for i, image in enumerate(images):
                txn.put(self.key(i), self.encode(image, labels[i]), append=True)
        env.close()

    def open(self):
        import lmdb

        self.env = lmdb.open(self.folder, readonly=True, **self.options())

    def close(self):
        self.env.close()

    def one(self, i):
        with self.env.begin(buffers=True) as txn:
            return np.array(self.decode(txn.get(self.key(i))))

    def read_all(self, count, out):
        with self.env.begin(buffers=True) as txn:
            for i, (_, value) in enumerate(txn.cursor()):
                out[i] = self.decode(value)
        return out


class SeedLmdb(Lmdb):
    def key(self, i):
        return f"{i:08}".encode("ascii")

    def encode(self, image, label):
        return pickle.dumps(Picture(image, label))

    def decode(self, value):
        return pickle.loads(value).array()

    def options(self):
        return {}

    def read_all(self, count, out):
        images, labels = [], []
        with self.env.begin() as txn:
            for i in range(count):
                picture = pickle.loads(txn.get(self.key(i)))
                images.append(picture.array())
                labels.append(picture.label)
        return images, labels


class SeedHdf5:
    def __init__(self, folder):
        self.file = f"{folder}.h5"

    def store(self, images, labels):
        import h5py

        with h5py.File(self.file, "w") as file:
            file.create_dataset("images", images.shape, h5py.h5t.STD_U8BE, data=images)
            file.create_dataset("meta", labels.shape, h5py.h5t.STD_U8BE, data=labels)
        with open(self.file, "rb") as file:
            os.fsync(file.fileno())

    def open(self):
        import h5py

        self.h5 = h5py.File(self.file, "r")

    def close(self):
        self.h5.close()

    def one(self, i):
        return self.h5["/images"][i]

    def read_all(self, count, out):
        return np.array(self.h5["/images"]).astype("uint8"), np.array(self.h5["/meta"]).astype("uint8")


class Sqlite3:
    def __init__(self, folder):
        self.file = f"{folder}.db"

    def store(self, images, labels):
        db = sqlite3.connect(self.file, isolation_level=None)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("CREATE TABLE image (id INTEGER PRIMARY KEY, label INTEGER, pixels BLOB)")
        db.execute("BEGIN")
        rows = ((i, int(labels[i]), image.tobytes()) for i, image in enumerate(images))
        db.executemany("INSERT INTO image VALUES (?, ?, ?)", rows)
        db.execute("COMMIT")
        db.close()

    def open(self):
        self.db = sqlite3.connect(self.file)

    def close(self):
        self.db.close()

    def one(self, i):
        (pixels,) = self.db.execute("SELECT pixels FROM image WHERE id = ?", (i,)).fetchone()
        return np.frombuffer(pixels, np.uint8).reshape(32, 32, 3)

    def read_all(self, count, out):
        labels = np.empty(count, np.int64)
        for i, label, pixels in self.db.execute("SELECT id, label, pixels FROM image ORDER BY id"):
            out[i] = np.frombuffer(pixels, np.uint8).reshape(32, 32, 3)
            labels[i] = label
        return out, labels


class Psycopg:
    """psycopg at its best: its own C code, and binary both ways."""

    BATCH = 1_000
    STORAGE = "EXTENDED"

    def __init__(self, folder):
        self.schema = schema(folder)

    def store(self, images, labels):
        import psycopg

        with psycopg.connect(SERVER, sslmode="disable") as db:
            db.execute(f"CREATE SCHEMA {self.schema}")
            db.execute(f"CREATE TABLE {self.schema}.image (id bigint PRIMARY KEY, label integer, pixels bytea)")
            db.execute(f"ALTER TABLE {self.schema}.image ALTER COLUMN pixels SET STORAGE {self.STORAGE}")
            with db.cursor().copy(f"COPY {self.schema}.image FROM STDIN BINARY") as copy:
                copy.set_types(["int8", "int4", "bytea"])
                for i, image in enumerate(images):
                    copy.write_row((i, int(labels[i]), image.tobytes()))

    def open(self):
        import psycopg

        self.db = psycopg.connect(SERVER, sslmode="disable", autocommit=True)
        self.all = f"SELECT id, label, pixels FROM {self.schema}.image WHERE id = any(%s)"
        self.select = f"SELECT pixels FROM {self.schema}.image WHERE id = %s"

    def close(self):
        self.db.close()

    def one(self, i):
        (pixels,) = self.db.execute(self.select, (i,), prepare=True, binary=True).fetchone()
        return np.frombuffer(pixels, np.uint8).reshape(32, 32, 3)

    def read_all(self, count, out):
        labels = np.empty(count, np.int64)
        for start in range(0, count, self.BATCH):
            ids = list(range(start, min(start + self.BATCH, count)))
            for i, label, pixels in self.db.execute(self.all, (ids,), prepare=True, binary=True):
                out[i] = np.frombuffer(pixels, np.uint8).reshape(32, 32, 3)
                labels[i] = label
        return out, labels


class PsycopgExternal(Psycopg):
    """The same with PostgreSQL told not to try to compress."""

    STORAGE = "EXTERNAL"


class Package:
    """Pinako from Python: what its Python users get."""

    def __init__(self, folder):
        self.url = f"lmdb:{folder}"

    def store(self, images, labels):
        import pinako

        with pinako.open(self.url, "w") as store:
            store.append(images, labels=labels)

    def open(self):
        import pinako

        self.images = pinako.open(self.url)

    def close(self):
        self.images.close()

    def one(self, i):
        return self.images[i]

    def read_all(self, count, out):
        return self.images.take(range(count), out=out)


class PackageOpen(Package):
    """The same of a store that stays open, as FFCV's loader does."""

    images = None

    def open(self):
        if self.images is None:
            super().open()

    def close(self):
        pass


class Ffcv:
    """FFCV's loader, which has all in memory and hands out the same few buffers again and again."""

    BATCH = 512

    def __init__(self, folder):
        self.file = f"{folder}.beton"
        self.loader = None

    def store(self, images, labels):
        from ffcv.fields import IntField, RGBImageField
        from ffcv.writer import DatasetWriter

        class Samples:
            def __len__(self):
                return len(images)

            def __getitem__(self, i):
                return images[i], int(labels[i])

        writer = DatasetWriter(self.file, {"image": RGBImageField(write_mode="raw"), "label": IntField()}, num_workers=2)
        writer.from_indexed_dataset(Samples())
        os.sync()

    def open(self):
        from ffcv.fields.decoders import IntDecoder, SimpleRGBImageDecoder
        from ffcv.loader import Loader, OrderOption

        # Once a process: it compiles itself when it is used first.
        self.loader = self.loader or Loader(
            self.file,
            batch_size=self.BATCH,
            num_workers=2,
            order=OrderOption.SEQUENTIAL,
            os_cache=True,
            drop_last=False,
            pipelines={"image": [SimpleRGBImageDecoder()], "label": [IntDecoder()]},
        )

    def close(self):
        pass

    def read_all(self, count, out):
        start = 0
        for images, _ in self.loader:
            out[start : start + len(images)] = images
            start += len(images)
        return out


SERVER = os.environ.get("PINAKO_TEST_POSTGRES")


def schema(folder):
    """The schema of what would stand in that folder."""
    return pathlib.Path(folder).name.replace("-", "_")


PEERS = {"seed-png": SeedPng, "seed-lmdb": SeedLmdb, "seed-hdf5": SeedHdf5, "lmdb": Lmdb, "sqlite3": Sqlite3}
OURS = ["files", "lmdb", "hdf5", "sqlite"]
for module, side, peer in [
    ("ffcv", "ffcv", Ffcv),
    ("pinako", "package-lmdb", Package),
    ("pinako", "package-open", PackageOpen),
]:
    if importlib.util.find_spec(module):
        PEERS[side] = peer
if SERVER:
    PEERS |= {"psycopg": Psycopg, "psycopg-external": PsycopgExternal}
    OURS += ["postgres"]


def operations(side):
    """What is measured of a side. A server's memory cannot be forgotten from here."""
    if side == "floor-files":
        return ["store"]
    if side == "bare-postgres":
        return ["read_one"]
    if side == "ffcv":
        return ["store", "read_all"]
    return [operation for operation in OPERATIONS if not side.startswith(("psycopg", "pinako-postgres")) or operation != "cold_one"]


def work(side, operation, folder, data):
    """One measurement with a peer, in this process: seconds."""
    images = np.load(data)
    labels = np.arange(len(images)) % 10
    peer = PEERS[side](folder)
    if operation == "store":
        start = time.perf_counter()
        peer.store(images, labels)
        return time.perf_counter() - start
    if operation == "cold_one":
        forget(folder)
    if operation == "read_all":
        # The second time: what is measured is reading, not the first use of a process's memory.
        out = np.empty_like(images)
        for _ in range(2):
            out.fill(0)
            found = None
            start = time.perf_counter()
            peer.open()
            found = peer.read_all(len(images), out)
            seconds = time.perf_counter() - start
            peer.close()
        found = found[0] if isinstance(found, tuple) else found
        assert all((a == b).all() for a, b in zip(found, images)), "what was read is not what was stored"
        return seconds
    peer.open()
    rng = random.Random(1)
    times = []
    for i in [rng.randrange(len(images)) for _ in range(WARM_READS if operation == "read_one" else COLD_READS)]:
        start = time.perf_counter()
        image = peer.one(i)
        times.append(time.perf_counter() - start)
        assert (image == images[i]).all(), f"image {i} is not what was stored"
    return statistics.median(times)


def measure(side, operation, folder, data, binary):
    if side == "floor-files":
        command = [binary, str(folder), "floor", str(data)]
    elif side == "bare-postgres":
        store = folder.with_name(folder.name.replace("bare-", "pinako-"))
        command = [binary, f"{SERVER}?schema={schema(store)}", "bare_one", str(data)]
    elif side == "pinako-postgres":
        command = [binary, f"{SERVER}?schema={schema(folder)}&sslmode=disable", operation, str(data)]
    elif side.startswith("pinako-"):
        command = [binary, f"{side.removeprefix('pinako-')}:{folder}", operation, str(data)]
    else:
        command = [sys.executable, str(HERE), "--work", side, operation, str(folder), str(data)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{side} {operation} failed:\n{done.stderr}")
    return json.loads(done.stdout)["seconds"]


def synthetic(count):
    """Smooth coloured noise: what is stored matters to PNG only."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (1000, 8, 8, 3)).astype(np.float32)
    smooth = coarse.repeat(4, 1).repeat(4, 2) + rng.normal(0, 4, (1000, 32, 32, 3))
    return np.resize(smooth.clip(0, 255).astype(np.uint8), (count, 32, 32, 3))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=pathlib.Path, help="an N,32,32,3 uint8 .npy; repeated up to --count")
    arguments.add_argument("--count", type=int, default=100_000)
    arguments.add_argument("--repeat", type=int, default=5)
    arguments.add_argument("--sides", default=",".join([*PEERS, *(f"pinako-{name}" for name in OURS), "floor-files"]))
    arguments.add_argument("--folder", type=pathlib.Path, help="where the stores go (default: the temporary folder)")
    arguments.add_argument("--out", type=pathlib.Path, help="write all figures as JSON")
    arguments.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.work:
        side, operation, folder, data = options.work
        print(json.dumps({"seconds": work(side, operation, pathlib.Path(folder), data)}))
        return

    sides = options.sides.split(",")
    binary = peer_binary("peer") if any(side not in PEERS for side in sides) else None
    figures = {side: {operation: [] for operation in OPERATIONS} for side in sides}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        folder = pathlib.Path(folder)
        data = folder / "images.npy"
        images = np.load(options.data) if options.data else synthetic(options.count)
        np.save(data, np.resize(images, (options.count, *images.shape[1:])))
        for repetition in range(options.repeat):
            order = sides if repetition % 2 == 0 else sides[::-1]
            # It reads another side's store.
            order = sorted(order, key=lambda side: side == "bare-postgres")
            for side in order:
                store = folder / f"{side}-{repetition}"
                for operation in operations(side):
                    if operation == "store":
                        os.sync()
                    seconds = measure(side, operation, store, data, binary)
                    figures[side][operation].append(seconds)
                    print(f"{repetition + 1}/{options.repeat} {side:13} {operation:9} {seconds:.6g} s", file=sys.stderr)

    count = options.count
    print(f"{count:,} images, medians of {options.repeat} (least to most)\n")
    print(f"{'':14}{'store, synced':>24}{'read all':>24}{'one at random':>22}{'one, cold':>22}")
    for side, rows in figures.items():
        def rate(times):
            if not times:
                return "-"
            return f"{count / statistics.median(times):,.0f}/s ({count / max(times):,.0f}-{count / min(times):,.0f})"

        def each(times):
            if not times:
                return "-"
            low, middle, high = (1e6 * f(times) for f in (min, statistics.median, max))
            return f"{middle:.2f} us ({low:.2f}-{high:.2f})"

        cells = [rate(rows["store"]), rate(rows["read_all"]), each(rows["read_one"]), each(rows["cold_one"])]
        print(f"{side:14}{cells[0]:>28}{cells[1]:>28}{cells[2]:>26}{cells[3]:>30}")
    if options.out:
        options.out.write_text(json.dumps({"count": count, "seconds": figures}, indent=1))


if __name__ == "__main__":
    main()
