"""What all tests need: a store of each kind."""

from __future__ import annotations

import numpy as np
import pytest
from samples import ON_DISK, pictures

import pinako


@pytest.fixture(params=sorted(ON_DISK))
def kind(request):
    return request.param


@pytest.fixture
def url(kind, tmp_path):
    """Where a store of this kind is to be."""
    return f"{kind}:{tmp_path / ON_DISK[kind]}"


@pytest.fixture
def ten(tmp_path):
    """A store of ten pictures with labels and names, open for appending; and the pictures."""
    images = pictures(10)
    with pinako.open(tmp_path / "ten", "w") as store:
        store.append(images, labels=range(10), names=[f"picture {n}" for n in range(10)])
        yield store, images


@pytest.fixture(scope="session")
def large_file(tmp_path_factory):
    """A PNG file of a megabyte that takes some ticks of a job to decode: what verifies a few is at work for a while."""
    folder = tmp_path_factory.mktemp("large") / "files"
    with pinako.open("memory:", "w") as store:
        store.append(np.zeros((1, 16384, 16384, 1), np.uint8), encoding="png")
        store.export_to(folder, format="folders")
    (path,) = folder.rglob("*.png")
    return path.read_bytes()
