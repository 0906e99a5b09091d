"""Other people's tools on what Pinako wrote, and Pinako on what they wrote.

PINAKO names the command to test; else it is the one that `cargo build` made.
"""
import json
import os
import pathlib
import subprocess
import sys
import uuid

import numpy as np
import pytest
from PIL import Image

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
PINAKO = os.environ.get("PINAKO", str(ROOT / "target/debug/pinako"))
SCHEMES = ["files", "lmdb", "hdf5", "sqlite", "object"]


def pinako(*arguments, fails=False):
    """Runs the command; gives its standard output, or its messages where it is to fail."""
    done = subprocess.run([PINAKO, *map(str, arguments)], capture_output=True, text=True)
    assert (done.returncode != 0) == fails, f"pinako {arguments} gave {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stderr if fails else done.stdout


def check(script, *arguments):
    """Runs one of the scripts beside this file, which read a store without Pinako; gives its JSON lines."""
    done = subprocess.run([sys.executable, HERE / script, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def path_of(url):
    return pathlib.Path(url.partition(":")[2])


def server(name):
    """What `scripts/servers.py` set; skips where it left that server out, which it does not in CI."""
    if name not in os.environ:
        assert "CI" not in os.environ, f"{name} is not set: run the tests by scripts/test.sh"
        pytest.skip(f"{name} is not set: its server does not run")
    return os.environ[name]


@pytest.fixture(params=[*SCHEMES, "postgres"])
def url(request, tmp_path):
    """Where a store of each kind may be made."""
    if request.param != "postgres":
        yield f"{request.param}:{tmp_path / 'store'}"
        return
    import psycopg

    place, schema = server("PINAKO_TEST_POSTGRES"), f"py_{uuid.uuid4().hex}"
    yield f"{place}?schema={schema}"
    with psycopg.connect(place) as db:
        db.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


@pytest.fixture
def images():
    """40 small pictures with something to see in them."""
    rng = np.random.default_rng(7)
    coarse = rng.integers(0, 256, (40, 8, 8, 3)).repeat(4, 1).repeat(4, 2)
    return (coarse + rng.integers(0, 9, (40, 32, 32, 3))).clip(0, 255).astype(np.uint8)


@pytest.fixture
def labels():
    return np.arange(40) % 3


@pytest.fixture
def class_folders(tmp_path, images, labels):
    """The pictures as PNG and JPEG files in class folders; gives the folder."""
    folder = tmp_path / "pictures"
    for i, (image, label) in enumerate(zip(images, labels)):
        name = folder / ["cat", "dog", "emu"][label] / (f"{i:04}.jpg" if i % 4 == 0 else f"{i:04}.png")
        name.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(name)
    return folder


@pytest.fixture
def array(tmp_path, images, labels):
    """The pictures as one array with its labels beside it; gives the array's file."""
    file = tmp_path / "pictures.npy"
    np.save(file, images)
    np.save(tmp_path / "pictures.labels.npy", labels)
    return file
