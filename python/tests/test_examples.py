"""The examples do what they say, and draw what they promise."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")

EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / "examples"


def run(name, *arguments, cwd):
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_study_has_a_verdict_and_a_plot(tmp_path):
    said = run("study.py", "--counts", "1,20", cwd=tmp_path)
    assert "study/index.html" in said and (tmp_path / "study/index.html").exists()
    drawn = np.asarray(Image.open(tmp_path / "study/study.png").convert("RGB"))
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 20, "lines of several colours"


def test_patches_are_those_of_the_raster(tmp_path):
    raster = np.random.default_rng(1).integers(0, 256, (1, 300, 400, 3), np.uint8)
    np.save(tmp_path / "raster.npy", raster)
    for _ in range(2):  # the second time the store is there
        said = run("patches.py", "raster.npy", "lmdb:store", "--side", 32, "--count", 4, cwd=tmp_path)
        assert "4 patches of (32, 32, 3), uint8" in said and "optimal" in said
    sheet = np.asarray(Image.open(tmp_path / "patches.png"))
    windows = np.lib.stride_tricks.sliding_window_view(raster[0], (32, 32, 3))[:, :, 0]
    for patch in (sheet[:32, :32], sheet[32:, 32:]):
        assert (windows == patch).all((2, 3, 4)).any()


def test_patches_without_a_raster_make_one_up(tmp_path):
    assert "the sheet is patches.png" in run("patches.py", "--count", 4, cwd=tmp_path)
