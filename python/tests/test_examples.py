"""The examples do what they say, and draw what they promise: as scripts, and cell by cell as in a notebook."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")

EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / "examples"


def notebook(name, **parameters):
    """What the cells leave, run one after another with what a kernel has of its own; parameters after the cell that has them."""
    _, first, *cells = re.split(r"(?m)^# %%.*$", (EXAMPLES / name).read_text())
    here = {"__name__": "__main__"}
    exec(first, here)
    assert set(parameters) <= set(here)
    here.update(parameters)
    for cell in cells:
        exec(cell, here)
    return here


@pytest.fixture(autouse=True)
def kernel(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ipykernel_launcher.py", "-f", "kernel.json"])
    with matplotlib.rc_context({"backend": "Agg"}):
        yield
        matplotlib.pyplot.close("all")


def script(name, folder, old, new):
    """What it says when it is run as it stands, but for one line."""
    text = (EXAMPLES / name).read_text()
    assert text.count(old) == 1
    (folder / name).write_text(text.replace(old, new))
    done = subprocess.run([sys.executable, name], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout


def drawn(path, colour):
    """How many dots of a picture have this colour."""
    dots = np.asarray(Image.open(path).convert("RGB"))
    return int((dots == np.multiply(matplotlib.colors.to_rgb(colour), 255).round().astype(np.uint8)).all(-1).sum())


def test_the_study_has_a_verdict_and_its_plots(capsys):
    left = notebook("study.py", counts=[1, 20])
    assert left["report"]["recommendation"]["headline"] in capsys.readouterr().out
    assert len(left["panes"]) == len(left["plots"]) == 3
    for pane, operation in zip(left["panes"], left["plots"]):
        lines = {line.get_label(): line for line in pane.get_lines()}
        assert list(lines) == left["report"]["backends"] == ["files", "lmdb", "hdf5", "sqlite"]
        for backend, line in lines.items():
            assert list(line.get_xdata()) == [1, 20] and min(line.get_ydata()) > 0
            measured = [one for one in left["report"]["measurements"] if one["operation"] == operation]
            assert list(line.get_ydata()) == [m["summary"]["median"] for m in measured if m["backend"] == backend]
    for line in lines.values():
        assert drawn("study/study.png", line.get_color()) > 500, "more than its place in the legend"


def test_the_study_is_a_script(tmp_path):
    said = script("study.py", tmp_path, "counts = [1, 10, 100, 1000]", "counts = [1, 5]")
    assert "study/index.html" in said and (tmp_path / "study/index.html").exists() and (tmp_path / "study/study.png").exists()


@pytest.mark.parametrize("shape, dtype", [
    ((300, 400, 3), "uint8"), ((300, 400, 3), "uint16"), ((90, 70, 1), "float32"), ((64, 32, 5), "int16"), ((32, 32, 2), "float64"),
], ids=repr)
def test_patches_are_those_of_the_raster(shape, dtype, capsys):
    scale = 1000 if np.dtype(dtype).kind == "f" else 1
    raster = (np.random.default_rng(1).integers(0, 256, (1, *shape)) / scale).astype(dtype)
    np.save("raster.npy", raster)
    for _ in range(2):  # the second time the store is there
        left = notebook("patches.py", raster="raster.npy", url="lmdb:store", side=32, count=5)
        assert left["patches"].shape == (5, 32, 32, shape[2]) and left["patches"].dtype == dtype
        for patch, x, y in zip(left["patches"], left["xs"], left["ys"]):
            np.testing.assert_array_equal(patch, raster[0, y : y + 32, x : x + 32])
        said = capsys.readouterr().out
        assert f"5 patches of 32x32x{shape[2]}, {dtype}" in said and "optimal" in said
    shown = [pane.get_images() for pane in left["panes"].flat]
    assert [len(images) for images in shown] == [1, 1, 1, 1, 1, 0]
    assert np.ptp(shown[0][0].get_array()) > 0.5
    assert len(np.unique(np.asarray(Image.open("patches.png").convert("L")))) > 100


def test_patches_come_from_all_of_the_raster():
    """As far as its last row and column."""
    np.save("raster.npy", np.zeros((1, 34, 33, 3), np.uint8))
    left = notebook("patches.py", raster="raster.npy", side=32, count=60)
    assert set(left["xs"]) == {0, 1} and set(left["ys"]) == {0, 1, 2}
    left = notebook("patches.py", raster="raster.npy", side=256, count=1)
    assert left["patches"].shape == (1, 33, 33, 3), "the largest that there are"


def test_patches_is_a_script(tmp_path):
    said = script("patches.py", tmp_path, "count = 16", "count = 4")
    assert "the sheet is patches.png" in said and (tmp_path / "patches.png").exists()
