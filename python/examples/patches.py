"""Cuts patches out of a raster that need not fit into memory: each is read by a few sequential reads.

    python patches.py RASTER STORE [--side 256] [--count 64] [--out patches.png]

RASTER is an .npy, TIFF, PNG, ... file of one large image; STORE a new store for it, or one that has it. Without both, a
raster is made up.
"""

# %% A store of one large image, along the Hilbert curve
import argparse
import pathlib
import tempfile

import numpy as np
from PIL import Image

import pinako

arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("raster", nargs="?")
arguments.add_argument("store", nargs="?")
arguments.add_argument("--side", type=int, default=256)
arguments.add_argument("--count", type=int, default=64)
arguments.add_argument("--out", default="patches.png")
options = arguments.parse_args()

scratch = tempfile.TemporaryDirectory()
store = pinako.open(options.store or f"lmdb:{scratch.name}/store", "a")
if len(store) == 0 and options.raster:
    store.import_from(options.raster, encoding="hilbert:64")
elif len(store) == 0:
    y, x = np.ogrid[:3000, :4000]
    made_up = np.stack([x * y >> 12, x ^ y, (x + y) >> 3], axis=-1).astype(np.uint8)
    store.append([made_up], names=["made up"], encoding="hilbert:64")

# %% Patches at random places, all in one call
image = int(store.ids[0])
height, width, channels = store.info(image).shape
rng = np.random.default_rng(0)
corners = zip(rng.integers(0, width - options.side, options.count), rng.integers(0, height - options.side, options.count))
patches = store.regions([(image, int(x), int(y), options.side, options.side) for x, y in corners])
print(f"{len(patches)} patches of {patches.shape[1:]}, {patches.dtype}")

# %% What reading one of them takes, and what it would otherwise
plan = store.explain(image, width // 3, height // 3, options.side, options.side)
for way in plan["ways"]:
    print(f"{way['strategy']:>8}: {way['reads']:4} reads, {way['bytes']:9,} bytes, {way['predicted_seconds'] * 1e6:7.0f} us predicted")

# %% A sheet of them
columns = int(np.ceil(np.sqrt(options.count)))
sheet = np.zeros((columns, columns, options.side, options.side, channels), patches.dtype)
sheet.reshape(-1, *patches.shape[1:])[: options.count] = patches
sheet = sheet.transpose(0, 2, 1, 3, 4).reshape(columns * options.side, columns * options.side, channels)
Image.fromarray(sheet.squeeze()).save(options.out)
print(f"the sheet is {pathlib.Path(options.out)}")
store.close()
