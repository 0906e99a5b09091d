#!/usr/bin/env python3
"""Feeds JPEG files to PyTorch: torchvision's ImageFolder, and the same files in a store, kept as they came.

    pip install ./python torch torchvision        # into the environment that runs this
    python benches/peers/loader.py IMAGES [--count 20000] [--workers 0,1,2] [--batch 256] [--repeat 3] [--out FILE.json]

IMAGES is a folder with a folder of JPEG files a class, or a raster (.npy of 1,H,W,3, uint8), of which pieces of 500 x 375
pixels are cut at random and written as JPEG of quality 90. An epoch of uint8 tensors in random order is timed, from the first
batch to the last: each in a process of its own, the sides taking turns, after one epoch that brings the files into the
page cache. Medians are printed, images a second.

The sides:
  imagefolder     torchvision.datasets.ImageFolder with PILToTensor, torch's DataLoader
  pinako          pinako.torch's Dataset and DataLoader, on lmdb:
  pinako-plain    pinako.torch's Dataset in torch's own DataLoader
"""
import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

SIDES = ["imagefolder", "pinako", "pinako-plain"]


def loader(side, images, store, batch, workers):
    import torch.utils.data

    options = {"batch_size": batch, "num_workers": workers, "persistent_workers": workers > 0}
    if side == "imagefolder":
        from torchvision import datasets, transforms

        return torch.utils.data.DataLoader(
            datasets.ImageFolder(images, transform=transforms.PILToTensor()), shuffle=True, **options
        )
    import pinako.torch

    if side == "pinako":
        return pinako.torch.DataLoader(pinako.torch.Dataset(store), **options)
    return torch.utils.data.DataLoader(pinako.torch.Dataset(store), shuffle=True, **options)


def work(side, images, store, batch, workers):
    """Images a second of an epoch."""
    batches = loader(side, images, store, batch, workers)
    for _ in range(2):  # workers start, and files come into the cache, in the first
        count, start = 0, time.perf_counter()
        for pixels, labels in batches:
            count += len(labels)
            assert pixels.dtype.itemsize == 1 and pixels.shape[1] == 3
        seconds = time.perf_counter() - start
    return count / seconds


def copy(folder, count, out):
    """Copies files out of all of the folder."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    for path in found[:: max(1, len(found) // count)][:count]:
        file = out / path.parent.name / path.name
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, file)


def cut(raster, count, out, width=500, height=375):
    """Writes pieces of a raster as JPEG files into ten folders."""
    import numpy as np
    from PIL import Image

    pixels = np.load(raster, mmap_mode="r")[0]
    random = np.random.default_rng(0)
    for number in range(count):
        y, x = (int(random.integers(length - side + 1)) for length, side in zip(pixels.shape, (height, width)))
        file = out / str(number % 10) / f"{number:06}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[y : y + height, x : x + width]).save(file, quality=90)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("images", type=pathlib.Path)
    arguments.add_argument("--count", type=int, default=20_000)
    arguments.add_argument("--workers", default="0,1,2")
    arguments.add_argument("--batch", type=int, default=256)
    arguments.add_argument("--repeat", type=int, default=3)
    arguments.add_argument("--folder", type=pathlib.Path, help="where files and store go (default: the temporary folder)")
    arguments.add_argument("--out", type=pathlib.Path, help="write all figures as JSON")
    arguments.add_argument("--work", nargs=5, help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.work:
        side, images, store, batch, workers = options.work
        print(json.dumps(work(side, images, store, int(batch), int(workers))))
        return

    import pinako

    figures = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        images, store = pathlib.Path(folder, "images"), pathlib.Path(folder, "store")
        if options.images.suffix == ".npy":
            cut(options.images, options.count, images)
        else:
            copy(options.images, options.count, images)
        with pinako.open(store, "a") as made:
            count = made.import_from(images).images
        for repetition in range(options.repeat):
            for side in SIDES if repetition % 2 == 0 else SIDES[::-1]:
                for workers in map(int, options.workers.split(",")):
                    command = [sys.executable, __file__, images, "--work", side, images, store, options.batch, workers]
                    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
                    if done.returncode != 0:
                        sys.exit(f"{side} failed:\n{done.stderr}")
                    figures.setdefault(f"{side}, {workers} workers", []).append(json.loads(done.stdout))

    print(f"{count:,} JPEG files, images/s, medians of {options.repeat} (least to most)\n")
    for name, rates in figures.items():
        print(f"{name:28} {statistics.median(rates):9,.0f} ({min(rates):,.0f}-{max(rates):,.0f})")
    if options.out:
        options.out.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
