"""Types: what the package says of itself is so, and what its users write with it is understood."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import pinako
from pinako import _pinako

FOLDER = Path(pinako.__file__).parent

USER = '''
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pinako

def study(path: Path) -> float:
    with pinako.open(path, "a", buffered=True) as store:
        ids: range = store.append(np.zeros((2, 4, 4, 3), np.uint8), labels=[0, None], names=["a", "b"])
        store.append([b"file"], attributes=[{"a": 1}])
        labels: npt.NDArray[np.int64] = store.labels
        info: pinako.Info = store.info(ids[0])
        shape: tuple[int, int, int] = info.shape
        name: str | None = info.name
        corner: npt.NDArray[Any] = store.region("a", 0, 0, 2, 2)
        done: pinako.Copied = store.copy_to("memory:", progress=lambda done, total: None)
        problems: list[pinako.Problem] = store.verify()
        store.label_names = ["cat"]
        out = np.empty((2, 4, 4, 3), np.uint8)
        store.take(ids, out=out)
        for each in store.ids:
            print(store.info(each).label, store.region(each, each, 0, 2, 2))
        for image in store:
            print(image.mean(), len(store), 0 in store)
        try:
            store[99]
        except pinako.ImageNotFoundError as error:
            hint: str | None = error.hint
            number: int | None = error.image
        return float(corner.mean())
'''

WRONG = {
    'store.info(1.5)': "arg-type", 'pinako.open("memory:", "x")': "arg-type", 'store.region(0, 0, 0, "1", 1)': "arg-type", 'store.append(3)': "arg-type",
    'store.labels = [1]': "misc", 'store.info(0).id = 3': "misc", 'store.nothing': "attr-defined",
    'store.append([], label=[])': "call-arg", 'store.verify(progress=3)': "arg-type",
}


def mypy(folder, *arguments):
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--cache-dir", str(folder / "cache"), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_the_package_is_typed(tmp_path):
    assert (FOLDER / "py.typed").exists()
    # What stands on other packages can be checked where these are.
    absent = [name for name in ("torch", "xarray") if importlib.util.find_spec(name) is None]
    modules = [path.stem for path in FOLDER.glob("*.py") if path.stem not in (*absent, "__init__")]
    said = mypy(tmp_path, "-m", "pinako", *(word for name in modules for word in ("-m", f"pinako.{name}")))
    assert said.startswith("Success"), said


def test_what_users_write(tmp_path):
    (tmp_path / "user.py").write_text(USER)
    (tmp_path / "wrong.py").write_text(
        "import pinako\nstore = pinako.open('memory:', 'w')\n" + "".join(f"{line}\n" for line in WRONG)
    )
    said = mypy(tmp_path, "--python-version", "3.11", "user.py", "wrong.py").splitlines()
    assert not [line for line in said if line.startswith("user.py")], said
    for place, (line, code) in enumerate(WRONG.items(), 3):
        assert any(one.startswith(f"wrong.py:{place}:") and one.endswith(f"[{code}]") for one in said), (line, said)


def names(body):
    """What a module or a class of the stubs has, as name and definition."""
    found = {}
    for one in body:
        if isinstance(one, (ast.FunctionDef, ast.ClassDef)):
            found.setdefault(one.name, one)
        elif isinstance(one, ast.AnnAssign):
            found[one.target.id] = one
    return found


def test_the_stubs_are_those_of_the_module():
    stubs = names(ast.parse((FOLDER / "_pinako.pyi").read_text()).body)
    module = {name for name in vars(_pinako) if not name.startswith("__") or name == "__version__"}
    assert set(stubs) == module
    store = names(stubs["Store"].body)
    usual = set(dir(type("Empty", (), {}))) - {"__new__"}
    assert {name for name in vars(_pinako.Store) if name not in usual} == {*store}
    for name, stub in [*stubs.items(), *store.items()]:
        value = getattr(_pinako, name, None) or vars(_pinako.Store).get(name)
        is_property = any(isinstance(one, ast.Name) and one.id == "property" for one in getattr(stub, "decorator_list", []))
        assert is_property == inspect.isgetsetdescriptor(value), name
        if isinstance(stub, ast.FunctionDef) and not is_property and not name.startswith("__"):
            arguments = [one.arg for one in stub.args.args]
            assert list(inspect.signature(value).parameters) == arguments, name


def test_all_that_is_public_says_what_it_is():
    public = [getattr(pinako, name) for name in pinako.__all__]
    public += [value for name, value in inspect.getmembers(pinako.Store) if not name.startswith("_")]
    assert not [one for one in public if not inspect.getdoc(one)]


def test_all_names_are_there():
    for name in pinako.__all__:
        assert hasattr(pinako, name)
    assert {name for name in dir(pinako) if name.endswith("Error")} <= set(pinako.__all__)
    assert pinako.__version__.count(".") == 2
