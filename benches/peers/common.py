"""What the comparisons of this folder share."""
import json
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def forget(path):
    """Drops a store, a file or a folder, from the page cache, and what stands beside it under its name and an ending."""
    paths = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    paths += [p for p in path.parent.glob(path.name + ".*") if p.is_file()]
    for file in paths:
        fd = os.open(file, os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def peer_binary(name):
    """Builds Pinako's side of a comparison, a benchmark of that name; its path."""
    out = subprocess.run(
        ["cargo", "bench", "-q", "-p", "pinako", "--bench", name, "--no-run", "--message-format=json"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout
    found = [json.loads(line).get("executable") for line in out.splitlines() if f'"{name}"' in line]
    return next(path for path in found if path)
