#!/usr/bin/env python3
"""Reads rectangles of one large raster with Pinako and with what people use from Python, side by side.

    make python build && .venv/bin/pip install tensorstore rasterio
    .venv/bin/python benches/peers/regions.py --data RASTER.npy [--repeat 3] [--sides ...] [--out FILE.json]

RASTER.npy is 1,H,W,3 of uint8. Three kinds of regions at random places, the same for all sides: squares of 100 to 800
pixels a side, wide ones of 4000x16, tall ones of 16x4000. Every measurement is a process of its own; the sides take turns,
and the order turns round from one repetition to the next. Regions are read into a buffer that is there already. Warm: each
was read before; cold: nothing of the file is in this machine's page cache when a region is read (opening is not timed, and
may warm what it reads). The first read of each region is checked against the raster.

The sides:
  numpy            a row-major memory map
  hdf5             h5py, chunks of 256x256x3
  gdal             rasterio (GDAL), GeoTIFF with tiles of 256; into an array of bands, as GDAL gives them, which saves it
                   putting them together
  tensorstore      TensorStore, Zarr with chunks of 64x64x3
  pinako-KIND-B    a store of that kind, in the hilbert layout with blocks of BxB pixels; `row` for B: row-major
"""
import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from common import forget, peer_binary

HERE = pathlib.Path(__file__).resolve()
KINDS = ["square", "wide", "tall"]


class Numpy:
    bands_first = False

    def __init__(self, path):
        self.path = path.with_suffix(".raw")

    def store(self, raster):
        raster.tofile(self.path)

    def open(self, shape):
        self.map = np.memmap(self.path, np.uint8, "r", shape=shape)

    def close(self):
        del self.map

    def read(self, x, y, width, height, out):
        out[:] = self.map[y : y + height, x : x + width]


class Hdf5(Numpy):
    def __init__(self, path):
        self.path = path.with_suffix(".h5")

    def store(self, raster):
        import h5py

        with h5py.File(self.path, "w") as file:
            file.create_dataset("raster", data=raster, chunks=(256, 256, 3))

    def open(self, shape):
        import h5py

        self.file = h5py.File(self.path, "r")
        self.map = self.file["raster"]

    def close(self):
        self.file.close()

    def read(self, x, y, width, height, out):
        self.map.read_direct(out, np.s_[y : y + height, x : x + width])


class Gdal(Numpy):
    bands_first = True

    def __init__(self, path):
        self.path = path.with_suffix(".tif")

    def store(self, raster):
        import rasterio

        height, width, bands = raster.shape
        profile = {"driver": "GTiff", "width": width, "height": height, "count": bands, "dtype": "uint8"}
        tiled = {"tiled": True, "blockxsize": 256, "blockysize": 256, "interleave": "pixel"}
        with rasterio.open(self.path, "w", **profile, **tiled) as file:
            file.write(np.moveaxis(raster, 2, 0))

    def open(self, shape):
        import rasterio

        self.file = rasterio.open(self.path)

    def close(self):
        self.file.close()

    def read(self, x, y, width, height, out):
        from rasterio.windows import Window

        self.file.read(window=Window(x, y, width, height), out=out)


class TensorStore(Numpy):
    def __init__(self, path):
        self.path = path.with_suffix(".zarr")

    def spec(self):
        return {"driver": "zarr", "kvstore": {"driver": "file", "path": str(self.path)}}

    def store(self, raster):
        import tensorstore

        metadata = {"shape": list(raster.shape), "chunks": [64, 64, 3], "dtype": "|u1", "compressor": None}
        store = tensorstore.open({**self.spec(), "metadata": metadata, "create": True}).result()
        store.write(raster).result()

    def open(self, shape):
        import tensorstore

        self.map = tensorstore.open(self.spec(), open=True, read=True).result()

    def close(self):
        del self.map

    def read(self, x, y, width, height, out):
        out[:] = self.map[y : y + height, x : x + width].read().result()


PEERS = {"numpy": Numpy, "hdf5": Hdf5, "gdal": Gdal, "tensorstore": TensorStore}
OURS = ["pinako-files-64", "pinako-lmdb-64", "pinako-hdf5-64", "pinako-sqlite-64"]
OURS += ["pinako-files-1", "pinako-lmdb-1", "pinako-files-row"]


def work(side, operation, path, regions, data):
    """One measurement with a peer, in this process: seconds of storing, or the median of each kind of region."""
    raster = np.load(data)[0]
    peer = PEERS[side](pathlib.Path(path))
    if operation == "store":
        start = time.perf_counter()
        peer.store(raster)
        return {"seconds": time.perf_counter() - start}
    medians = {}
    for kind, rectangles in json.loads(pathlib.Path(regions).read_text()).items():
        peer.open(raster.shape)
        times = []
        for turn in range(2 if operation == "warm" else 1):
            times = []
            for x, y, width, height in rectangles:
                if operation == "cold":
                    peer.close()
                    forget(peer.path)
                    peer.open(raster.shape)
                out = np.ones((3, height, width) if peer.bands_first else (height, width, 3), np.uint8)
                start = time.perf_counter()
                peer.read(x, y, width, height, out)
                times.append(time.perf_counter() - start)
                pixels = np.moveaxis(out, 0, 2) if peer.bands_first else out
                assert turn or (pixels == raster[y : y + height, x : x + width]).all(), "a region is not what was stored"
        medians[kind] = statistics.median(times)
        peer.close()
    return medians


def rectangles(height, width, count):
    rng = random.Random(1)

    def place(w, h):
        return rng.randrange(width - w + 1), rng.randrange(height - h + 1), w, h

    squares = [place(side, side) for side in (rng.randint(100, 800) for _ in range(count))]
    return {"square": squares, "wide": [place(4000, 16) for _ in range(count)], "tall": [place(16, 4000) for _ in range(count)]}


def measure(side, operation, path, regions, data, binary):
    if side in PEERS:
        command = [sys.executable, HERE, "--work", side, operation, path, regions, data]
    else:
        _, scheme, layout = side.split("-")
        layout = layout if layout == "row" else f"hilbert:{layout}"
        command = [binary, f"{scheme}:{path}", operation, layout if operation == "store" else regions, data]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{side} {operation} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=pathlib.Path, help="a 1,H,W,3 uint8 .npy, 4000 pixels a side or more")
    arguments.add_argument("--repeat", type=int, default=3)
    arguments.add_argument("--sides", default=",".join([*PEERS, *OURS]))
    arguments.add_argument("--folder", type=pathlib.Path, help="where the rasters go (default: the temporary folder)")
    arguments.add_argument("--out", type=pathlib.Path, help="write all figures as JSON")
    arguments.add_argument("--work", nargs=5, help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.work:
        print(json.dumps(work(*options.work)))
        return

    sides = options.sides.split(",")
    binary = peer_binary("region_peer") if any(side not in PEERS for side in sides) else None
    figures = {side: {f"{state} {kind}": [] for state in ["warm", "cold"] for kind in KINDS} for side in sides}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        folder = pathlib.Path(folder)
        height, width = np.load(options.data, mmap_mode="r").shape[1:3]
        regions = {}
        for state, count in [("warm", 100), ("cold", 15)]:
            regions[state] = folder / f"{state}.json"
            regions[state].write_text(json.dumps(rectangles(height, width, count)))
        for side in sides:
            measure(side, "store", folder / side, None, options.data, binary)
        os.sync()
        for repetition in range(options.repeat):
            for side in sides if repetition % 2 == 0 else sides[::-1]:
                for state in ["warm", "cold"]:
                    for kind, seconds in measure(side, state, folder / side, regions[state], options.data, binary).items():
                        figures[side][f"{state} {kind}"].append(seconds)
                print(f"{repetition + 1}/{options.repeat} {side}", file=sys.stderr)

    print(f"{width}x{height}, microseconds, medians of {options.repeat} (least to most)\n")
    columns = list(next(iter(figures.values())))
    print(f"{'':17}" + "".join(f"{column:>24}" for column in columns))
    for side, rows in figures.items():
        cells = [f"{statistics.median(t) * 1e6:,.0f} ({min(t) * 1e6:,.0f}-{max(t) * 1e6:,.0f})" for t in rows.values()]
        print(f"{side:17}" + "".join(f"{cell:>24}" for cell in cells))
    if options.out:
        options.out.write_text(json.dumps({"width": width, "height": height, "seconds": figures}, indent=1))


if __name__ == "__main__":
    main()
