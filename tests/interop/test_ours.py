"""What Pinako writes, read by the ecosystem's own packages as FORMAT.md says."""
import hashlib
import pickle
import subprocess
import sys

import datasets
import h5py
import numpy as np
from conftest import ROOT, check, path_of, pinako
from PIL import Image

CHECKS = {
    "files": "files_check.py",
    "lmdb": "lmdb_check.py",
    "hdf5": "hdf5_check.py",
    "sqlite": "sqlite_check.py",
    "object": "object_check.py",
    "postgres": "postgres_check.py",
}


def read_without_pinako(url):
    scheme = url.partition(":")[0]
    return check(CHECKS[scheme], url if scheme == "postgres" else path_of(url))


def test_kept_files_stand_in_the_store_as_they_came(url, class_folders):
    pinako("import", class_folders, url)
    found = {row["name"]: row for row in read_without_pinako(url)}
    files = sorted(class_folders.rglob("*.*"))
    assert len(found) == len(files) == 40
    for file in files:
        row = found[str(file.relative_to(class_folders))]
        assert row["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
        assert ["cat", "dog", "emu"][row["label"]] == file.parent.name


def test_raw_images_are_the_arrays_bytes(url, array, images, labels):
    pinako("import", "--encoding", "raw", array, url)
    rows = read_without_pinako(url)
    assert [row["label"] for row in rows] == labels.tolist()
    assert [row["sha256"] for row in rows] == [hashlib.sha256(image.tobytes()).hexdigest() for image in images]


def test_hugging_face_datasets_load_a_files_store(tmp_path, class_folders):
    url = f"files:{tmp_path / 'store'}"
    pinako("import", class_folders, url)
    count, *rows = check("datasets_check.py", path_of(url))
    assert count == {"count": 40}
    labels = {f"{row['id']:08}": row["label"] for row in read_without_pinako(url)}
    assert {row["file_name"].partition(".")[0]: row["label"] for row in rows} == labels


def test_hugging_face_datasets_load_a_part_of_an_object_store(tmp_path, array, images, labels):
    url = f"object:{tmp_path / 'store'}"
    pinako("import", "--encoding", "raw", array, url)
    (part,) = (path_of(url) / "parts").iterdir()
    loaded = datasets.load_dataset("arrow", data_files=str(part), split="train", cache_dir=tmp_path / "cache")
    assert loaded["label"] == labels.tolist()
    assert all((np.frombuffer(row["payload"], np.uint8) == image.ravel()).all() for row, image in zip(loaded, images))


def test_an_exported_array_is_numpys(url, array, images, labels, tmp_path):
    pinako("import", array, url)
    pinako("export", url, tmp_path / "out.npy")
    assert (np.load(tmp_path / "out.npy") == images).all()
    assert (np.load(tmp_path / "out.labels.npy") == labels).all()


def test_an_exported_hdf5_file_is_h5pys(url, array, images, labels, tmp_path):
    pinako("import", array, url)
    pinako("export", url, tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as file:
        assert (np.array(file["/images"]).astype("uint8") == images).all()
        assert (np.array(file["/meta"]).astype("uint8") == labels).all()


def test_exported_pickles_are_cifars(url, array, images, labels, tmp_path):
    pinako("import", array, url)
    pinako("export", url, tmp_path / "out", "--format", "cifar")
    with open(tmp_path / "out/data_batch_1", "rb") as file:
        batch = pickle.load(file, encoding="bytes")
    assert batch[b"data"].dtype == np.uint8 and batch[b"labels"] == labels.tolist() and len(batch[b"filenames"]) == 40
    assert (batch[b"data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1) == images).all()


def test_exported_folders_hold_the_pictures(url, class_folders, tmp_path):
    pinako("import", class_folders, url)
    pinako("export", url, tmp_path / "out")
    for file in class_folders.rglob("*.*"):
        out = tmp_path / "out" / file.relative_to(class_folders)
        assert out.read_bytes() == file.read_bytes()
        assert Image.open(out).size == (32, 32)


def test_the_example_reads_an_lmdb_store_of_thumbnails(array, images, class_folders, tmp_path):
    def example(store):
        script = [sys.executable, ROOT / "examples" / "read_without_pinako.py", store]
        return subprocess.run(script, capture_output=True, text=True, check=True).stdout.splitlines()

    pinako("import", array, f"lmdb:{tmp_path / 'raw'}")
    means = [f"mean {image.mean():.1f}" for image in images]
    assert [line.split("uint8 ")[1] for line in example(tmp_path / "raw")] == means
    pinako("import", class_folders, f"lmdb:{tmp_path / 'kept'}")
    lengths = sorted(f"{file.stat().st_size} bytes" for file in class_folders.rglob("*.*"))
    assert sorted(line.split(" ", 2)[2].partition(" of")[0] for line in example(tmp_path / "kept")) == lengths
