"""Reads an hdf5: store with h5py alone, as FORMAT.md says, and prints a JSON line an image.

Parts of raw images are also read by the function of "three ways of storing and accessing lots of images in Python".
"""
import hashlib
import json
import pathlib
import struct
import sys

import h5py
import numpy as np
from crc32c import crc32c, sealed
from crc32c import record as checked


def commits(folder):
    """The commits of the manifest log; a torn line at the end is none."""
    whole = (folder / "manifest.jsonl").read_bytes()
    header, *lines = (sealed(line) for line in whole.splitlines(keepends=True) if line.endswith(b"\n"))
    assert (header["pinako"], header["format_version"]) == ("hdf5", 1), header
    end = int(sealed((folder / "manifest.end").read_bytes())["end"])
    assert end <= whole.rfind(b"\n") + 1, f"manifest.jsonl was cut: it should reach {end}"
    return lines


def read_many_hdf5(path):
    file = h5py.File(path, "r+")
    images = np.array(file["/images"]).astype("uint8")
    labels = np.array(file["/meta"]).astype("uint8")
    return images, labels


def payload_of(folder, part, file, row):
    if part["kind"] == "images":
        return file["images"][row].tobytes()
    if part["kind"] == "payloads":
        start, end = file["payload_offsets"][row:row + 2]
        return file["payload"][start:end].tobytes()
    pieces = [h5py.File(folder / f"parts/{piece['part']:08}.h5") for piece in part["pieces"]]
    return b"".join(piece["payload"][:].tobytes() for piece in pieces)


def images_of(folder, part):
    file = h5py.File(folder / f"parts/{part['part']:08}.h5")
    records, ends = file["records"][:].tobytes(), file["record_offsets"][:]
    rows = zip(file["ids"][:].tolist(), file["meta"][:].tolist(), strict=True)
    for row, (id, meta) in enumerate(rows):
        record = checked(id, records[ends[row]:ends[row + 1]])
        fields = struct.unpack_from("<BBBBIIIHHQqII", record)
        encoding, checksum, flags, length, label, name_length = (fields[i] for i in (2, 4, 8, 9, 10, 11))
        name = record[44 + (12 if encoding == 3 else 0):][:name_length].decode()
        label = label if flags & 1 else None
        assert meta == (-1 if label is None else label)
        payload = payload_of(folder, part, file, row)
        assert (len(payload), crc32c(payload)) == (length, checksum), id
        yield {"id": id, "label": label, "name": name or None, "sha256": hashlib.sha256(payload).hexdigest()}
    for dataset in file.values():
        assert dataset.chunks is None and dataset.compression is None
    if part["kind"] == "images" and file["images"].dtype == np.uint8:
        array, labels = file["images"][:], file["meta"][:]
        file.close()
        images, seed_labels = read_many_hdf5(folder / f"parts/{part['part']:08}.h5")
        assert (images == array).all() and (seed_labels == labels.astype("uint8")).all()


def main(folder):
    log = commits(folder)
    removed = [interval for commit in log for interval in commit.get("removed", [])]
    for part in (part for commit in log for part in commit.get("parts", [])):
        for image in images_of(folder, part):
            if not any(first <= image["id"] <= last for first, last in removed):
                print(json.dumps(image))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
