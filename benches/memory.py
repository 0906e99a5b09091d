#!/usr/bin/env python3
"""Peak memory of long jobs at two sizes: it must not grow with the number of images.

    make python build && .venv/bin/python benches/memory.py [--counts 10000,100000] [--out FILE.json]

Runs import, copy, export and verify (which reads every image) on every embedded backend, each in a process of its own,
and samples its *anonymous* memory (RssAnon in /proc/PID/status) every 2 ms. Pages of a memory map are not counted: they
are the page cache's, and the system takes them back when it needs them.

An import or a copy holds two batches of 16 MiB and what the backend keeps of one until it commits. 10,000 of these images
are not quite two batches, so the peaks at 100,000 are a little higher; from 40,000 on they stay.
"""
import argparse
import json
import pathlib
import shutil
import subprocess
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
PINAKO = ROOT / "target/release/pinako"
SCHEMES = ["files", "lmdb", "hdf5", "sqlite"]


def peak(*arguments):
    """Most anonymous memory that the command held, in MiB."""
    process = subprocess.Popen([PINAKO, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
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


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--counts", default="10000,100000")
    arguments.add_argument("--folder", type=pathlib.Path, help="where the stores go (default: the temporary folder)")
    arguments.add_argument("--out", type=pathlib.Path, help="write all figures as JSON")
    options = arguments.parse_args()
    counts = [int(count) for count in options.counts.split(",")]
    rng = np.random.default_rng(1)
    some = rng.integers(0, 256, (1000, 8, 8, 3)).repeat(4, 1).repeat(4, 2).astype(np.uint8)

    figures = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        folder = pathlib.Path(folder)
        for count in counts:
            data = folder / "images.npy"
            np.save(data, np.resize(some, (count, 32, 32, 3)))
            np.save(folder / "images.labels.npy", np.arange(count) % 10)
            for scheme in SCHEMES:
                a, b = f"{scheme}:{folder / 'a'}", f"{scheme}:{folder / 'b'}"
                jobs = {
                    "import": ("import", data, a),
                    "copy": ("copy", a, b),
                    "export .npy": ("export", a, folder / "out.npy"),
                    "export .h5": ("export", a, folder / "out.h5"),
                    "export folders": ("export", a, folder / "out"),
                    "verify": ("verify", a),
                }
                for job, command in jobs.items():
                    figures.setdefault(scheme, {}).setdefault(job, {})[count] = peak(*command)
                for left in ["a", "b", "out", "out.npy", "out.labels.npy", "out.h5"]:
                    for path in [folder / left, *folder.glob(left + "-*")]:
                        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    print(f"{'peak anonymous memory, MiB':32}" + "".join(f"{count:>12,}" for count in counts))
    for scheme, jobs in figures.items():
        for job, peaks in jobs.items():
            print(f"{scheme:8}{job:24}" + "".join(f"{peaks[count]:12.1f}" for count in counts))
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
