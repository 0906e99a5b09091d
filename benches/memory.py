#!/usr/bin/env python3
"""Peak memory of long jobs at two sizes (it must not grow with the number of images), and of one large image.

    make python build && .venv/bin/python benches/memory.py [--parts jobs,rasters,regions] [--counts 10000,100000] [--out FILE.json]
    ... --parts jobs --schemes object,$PINAKO_TEST_S3,$PINAKO_TEST_POSTGRES      under scripts/servers.py run --

Each command is a process of its own, whose *anonymous* memory (RssAnon in /proc/PID/status) is sampled every 2 ms. Pages
of a memory map are not counted: they are the page cache's, and the system takes them back when it needs them.

jobs: import, copy, export and verify (which reads every image) on every backend. An import or a copy holds two
batches of 16 MiB and what the backend keeps of one until it commits. 10,000 of these images are not quite two batches, so
the peaks at 100,000 are a little higher; from 40,000 on they stay. Into and out of stores in buckets go batches of 128 MiB,
and up to 128 MiB more are on their way at once: an import takes up to 450 MiB, a copy 570, a compaction 380; the peaks
stay from some 200,000 on. Hashes of names add 8 bytes an image, 256 MiB at most.

rasters: import of one RGB image of 10800x5400, 175 MB, out of each kind of file, stored raw. Arrays, TIFF and PNG go
through in pieces; chunks of HDF5 are read an image at a time; what is left are decoders that make a whole image at once.

regions: `get --region` of parts of that image out of each kind of store, to a .npy file. The region itself is in memory,
and of what is read for it as much as a backend has not mapped.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import h5py
import numpy as np
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[1]
PINAKO = ROOT / "target/release/pinako"
SCHEMES = ["files", "lmdb", "hdf5", "sqlite", "object"]


def place(scheme, folder, name):
    """The URL of a store in the folder, or on the server that a scheme with :// is the URL of, where it stays."""
    own = f"memory_{os.getpid()}_{time.time_ns()}_{name}"
    if scheme.startswith("postgres"):
        return f"{scheme}?schema={own}"
    return f"{scheme}/{own}" if "://" in scheme else f"{scheme}:{folder / name}"


def peak(*arguments):
    """Most anonymous memory that the command, of which the first argument is the program, held, in MiB."""
    process = subprocess.Popen([*map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    most = 0
    status = pathlib.Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        try:
            for line in status.read_text().splitlines():
                if line.startswith("RssAnon:"):
                    most = max(most, int(line.split()[1]))
        except (FileNotFoundError, ProcessLookupError):
            break
        time.sleep(0.002)
    messages = process.communicate()[1].decode()
    assert process.returncode == 0, f"{arguments}: {messages}"
    return most / 1024


def write_qoi(path, pixels):
    """A QOI file of colours in full, which any decoder takes."""
    height, width, _ = pixels.shape
    with open(path, "wb") as file:
        file.write(b"qoif" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\3\0")
        np.insert(pixels.reshape(-1, 3), 0, 0xFE, axis=1).tofile(file)
        file.write(b"\0" * 7 + b"\1")


def write_rasters(folder, height, width):
    """One image in each kind of file, one after another; gives the path of each when it is there."""
    y, x = np.ogrid[:height, :width]
    pixels = np.empty((height, width, 3), np.uint8)
    for channel in range(3):
        pixels[..., channel] = (x >> 5) * (channel + 1) + (y >> 4) + ((x * 7 + y * 13) & 7)
    image = Image.fromarray(pixels)
    by_pillow = {
        "a.tif": {},
        "a strip.tif": {"tiffinfo": {278: height}},
        "lzw.tif": {"compression": "tiff_lzw"},
        "deflate.tif": {"compression": "tiff_deflate"},
        "a.png": {"compress_level": 1},
        "a.jpg": {"quality": 90},
        "a.bmp": {},
        "a.ppm": {},
        "a.gif": {},
        "lossless.webp": {"lossless": True, "quality": 0, "method": 0},
        "lossy.webp": {"quality": 80, "method": 0},
    }
    others = {
        "a.npy": lambda path: np.save(path, pixels[None]),
        "a.npz": lambda path: np.savez(path, pixels[None]),
        "deflated.npz": lambda path: np.savez_compressed(path, pixels[None]),
        "a.h5": lambda path: h5py.File(path, "w").create_dataset("images", data=pixels[None]).file.close(),
        "chunks.h5": lambda path: h5py.File(path, "w")
        .create_dataset("images", data=pixels[None], chunks=(1, 256, 256, 3), compression=1)
        .file.close(),
        "a.qoi": lambda path: write_qoi(path, pixels),
    }
    writers = others | {
        name: lambda path, options=options: image.save(path, **options) for name, options in by_pillow.items()
    }
    for name, write in writers.items():
        write(folder / name)
        yield folder / name
        os.remove(folder / name)


def regions(pinako, folder):
    """Prints and gives the peaks of reading regions of one large image."""
    figures = {}
    files = write_rasters(folder, 5400, 10800)
    raster = next(files)  # which is there until the next
    shapes = {"1x1": (5, 5, 1, 1), "800x800": (4001, 1203, 800, 800), "4000x4000": (3001, 703, 4000, 4000)}
    shapes["16x4000"], shapes["whole"] = (777, 801, 16, 4000), (0, 0, 10800, 5400)
    print(f"{'MiB of the region itself':32}" + "".join(f"{w * h * 3 / 2**20:12.1f}" for _, _, w, h in shapes.values()))
    print(f"{'get --region of 10800x5400 RGB':32}" + "".join(f"{shape:>12}" for shape in shapes), "MiB")
    for scheme in SCHEMES:
        for layout in ["row", "hilbert"]:
            store = folder / "store"
            subprocess.run([pinako, "import", "--layout", layout, raster, f"{scheme}:{store}"], check=True, stderr=subprocess.DEVNULL)
            of_layout = figures.setdefault(scheme, {}).setdefault(layout, {})
            for name, region in shapes.items():
                where = ",".join(map(str, region))
                of_layout[name] = peak(pinako, "get", store, "0", "--region", where, "-o", folder / "out.npy")
                os.remove(folder / "out.npy")
            print(f"{scheme + ' ' + layout:32}" + "".join(f"{most:12.1f}" for most in of_layout.values()), flush=True)
            for path in folder.glob("store*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    return figures


def rasters(pinako, folder):
    """Prints and gives the peaks of importing one large image."""
    figures = {}
    print(f"{'import of 10800x5400 RGB as raw':32}" + "".join(f"{layout:>12}" for layout in ["row", "hilbert"]), "MiB")
    for file in write_rasters(folder, 5400, 10800):
        name = file.name
        for layout in ["row", "hilbert"]:
            store = folder / "store"
            figures.setdefault(name, {})[layout] = peak(pinako, "import", "--layout", layout, file, f"lmdb:{store}")
            shutil.rmtree(store)
        print(f"{name:32}" + "".join(f"{most:12.1f}" for most in figures[name].values()), flush=True)
    return figures


def jobs(pinako, folder, counts, schemes):
    """Prints and gives the peaks of jobs on many images."""
    rng = np.random.default_rng(1)
    some = rng.integers(0, 256, (1000, 8, 8, 3)).repeat(4, 1).repeat(4, 2).astype(np.uint8)

    figures = {}
    for count in counts:
        data = folder / "images.npy"
        np.save(data, np.resize(some, (count, 32, 32, 3)))
        np.save(folder / "images.labels.npy", np.arange(count) % 10)
        for scheme in schemes:
            a, b = place(scheme, folder, "a"), place(scheme, folder, "b")
            commands = {
                "import": ("import", data, a),
                "copy": ("copy", a, b),
                "export .npy": ("export", a, folder / "out.npy"),
                "export .h5": ("export", a, folder / "out.h5"),
                "export folders": ("export", a, folder / "out"),
                "verify": ("verify", a),
            }
            for job, command in commands.items():
                figures.setdefault(scheme, {}).setdefault(job, {})[count] = peak(pinako, *command)
            for left in ["a", "b", "out", "out.npy", "out.labels.npy", "out.h5"]:
                for path in [folder / left, *folder.glob(left + "-*")]:
                    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    print(f"{'peak anonymous memory, MiB':32}" + "".join(f"{count:>12,}" for count in counts))
    for scheme, jobs in figures.items():
        for job, peaks in jobs.items():
            print(f"{scheme.partition(':')[0]:9}{job:23}" + "".join(f"{peaks[count]:12.1f}" for count in counts))
    return figures


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--parts", default="jobs,rasters,regions", help="what is measured (default: all)")
    arguments.add_argument("--counts", default="10000,100000", help="images of the jobs")
    arguments.add_argument("--schemes", default=",".join(SCHEMES), help="kinds of stores of the jobs, and URLs of servers")
    arguments.add_argument("--pinako", type=pathlib.Path, default=PINAKO, help="the command (default: the release build)")
    arguments.add_argument("--folder", type=pathlib.Path, help="where the stores go (default: the temporary folder)")
    arguments.add_argument("--out", type=pathlib.Path, help="write all figures as JSON")
    options = arguments.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        folder = pathlib.Path(folder)
        if "jobs" in options.parts.split(","):
            figures["jobs"] = jobs(options.pinako, folder, [int(count) for count in options.counts.split(",")], options.schemes.split(","))
        if "rasters" in options.parts.split(","):
            figures["rasters"] = rasters(options.pinako, folder)
        if "regions" in options.parts.split(","):
            figures["regions"] = regions(options.pinako, folder)
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
