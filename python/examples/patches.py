"""Cuts patches out of a raster that need not fit into memory: each is read by a few sequential reads.

    python patches.py

Editors and Jupyter (with jupytext) show the cells, each after a `# %%`, as those of a notebook.
"""

# %% What to cut out
import tempfile

import matplotlib.pyplot as plt
import numpy as np

import pinako

raster = None  # a TIFF, PNG, ... file of one large image, or an .npy of 1,H,W,C; None makes one up
url = None  # a store that has the raster, or a new one for it; None makes one that goes with this process
side = 256
count = 16  # at least one
out = "patches.png"

# %% A store of one large image, along the Hilbert curve
scratch = tempfile.TemporaryDirectory()
store = pinako.open(url or f"lmdb:{scratch.name}/store", "a")
if len(store) == 0 and raster:
    store.import_from(raster, encoding="hilbert:64")
elif len(store) == 0:
    y, x = np.ogrid[:3000, :4000]
    made_up = np.stack([x * y >> 12, x ^ y, (x + y) >> 3], axis=-1).astype(np.uint8)
    store.append([made_up], names=["made up"], encoding="hilbert:64")

# %% Patches at random places, all in one call
if len(store) != 1:
    raise SystemExit(f"{store.url} has {len(store)} images, not one large one: an .npy is to have the shape 1,H,W,C")
image = int(store.ids[0])
height, width, channels = store.info(image).shape
side = min(side, height, width)
rng = np.random.default_rng(0)
xs, ys = (rng.integers(0, length - side, count, endpoint=True) for length in (width, height))
patches = store.regions([(image, int(x), int(y), side, side) for x, y in zip(xs, ys)])
print(f"{len(patches)} patches of {side}x{side}x{channels}, {patches.dtype}")

# %% What reading one of them takes, and what it would otherwise
plan = store.explain(image, int(xs[0]), int(ys[0]), side, side)
for way in plan["ways"]:
    took = f"{way['predicted_seconds'] * 1e6:7.0f} us predicted"
    print(f"{way['strategy']:>8}: {way['reads']:4} reads, {way['bytes']:9,} bytes, {took}")

# %% A sheet of them; as colours, of samples of any type, and of the first bands of many
low, high = float(np.nanmin(patches)), float(np.nanmax(patches))
colours = ((patches - low) / ((high - low) or 1))[..., : 3 if channels >= 3 else 1]
columns = int(np.ceil(np.sqrt(count)))
figure, panes = plt.subplots(-(-count // columns), columns, squeeze=False, figsize=(8, 8), layout="constrained")
for pane in panes.flat:
    pane.axis("off")
for pane, patch, x, y in zip(panes.flat, colours, xs, ys):
    pane.imshow(patch, cmap="gray", vmin=0, vmax=1)
    pane.set_title(f"{x}, {y}", fontsize="small")
figure.savefig(out, dpi=150)
print(f"the sheet is {out}")
store.close()
