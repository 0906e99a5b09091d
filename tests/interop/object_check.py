"""Reads an object: store with pyarrow alone, as FORMAT.md says, and prints a JSON line an image.

Each part is opened in the ways that people have: mapped by pyarrow, by polars, and by Hugging Face's datasets.
"""
import hashlib
import json
import pathlib
import struct
import sys
import tempfile

import polars
import pyarrow as pa
from crc32c import crc32c, sealed
from datasets import load_dataset

SAMPLE_TYPES = ["u8", "u16", "u32", "i16", "f32", "f64"]
FORMATS = ["jpeg", "png", "webp", "tiff", "bmp", "gif", "qoi", "pnm"]


def newest(folder):
    """The commit of the newest manifest, whose name is the least."""
    header, line = min((folder / "manifest").glob("*.json")).read_bytes().splitlines(keepends=True)
    assert (header := sealed(header)) == {**header, "pinako": "object", "format_version": 1}, header
    return sealed(line)["commit"]


def record(row):
    """The descriptor record that a row of a part makes, under its id_offset as the id."""
    kind, *words = row["encoding"].split(":")
    detail, link = 0, b""
    if kind == "raw" and words[0] == "hilbert":
        detail = int(words[1]).bit_length()
    elif kind in ("kept", "linked"):
        detail = FORMATS.index(words[0])
    if kind == "linked":
        link = struct.pack("<QI", int(words[1]), int(words[2], 16))
    name, attributes = ((row[column] or "").encode() for column in ("name", "attributes"))
    flags = sum(flag for column, flag in (("label", 1), ("name", 2), ("attributes", 4)) if row[column] is not None)
    fixed = struct.pack(
        "<BBBBIIIHHQqII", 1, SAMPLE_TYPES.index(row["sample_type"]), ["raw", "png", "kept", "linked"].index(kind), detail,
        row["checksum"], row["height"], row["width"], row["channels"], flags, row["payload_length"], row["label"] or 0,
        len(name), len(attributes))
    return row["id_offset"].to_bytes(8, "big") + fixed + link + name + attributes


def name_hash(name):
    """The FNV-1a hash of a name."""
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def rows_of(path):
    """The rows of an Arrow file, which everybody must read alike."""
    with pa.memory_map(str(path)) as file:
        table = pa.ipc.open_file(file).read_all()
        assert table.num_rows == 0 or pa.total_allocated_bytes() < 1 << 20, "nothing is copied"
        rows = table.to_pylist()
        del table
    assert pa.ipc.open_file(path.read_bytes()).read_all().to_pylist() == rows
    for frame in (polars.read_ipc(path), polars.scan_ipc(path).collect()):
        assert frame.to_dicts() == rows
    with tempfile.TemporaryDirectory() as cache:
        assert load_dataset("arrow", data_files=str(path), split="train", cache_dir=cache).to_list() == rows
    return rows


def images_of(folder, part):
    path = folder / f"parts/{part['part']:016x}.arrow"
    whole = path.read_bytes()
    assert (len(whole), whole[:8]) == (part["file_bytes"], b"ARROW1\0\0")
    rows = rows_of(path)
    if "names" in part:
        start = part["names"]["at"]
        hashes = whole[start:start + 8 * part["count"]]
        assert crc32c(hashes) == part["names"]["crc32c"]
        assert list(struct.unpack(f"<{part['count']}Q", hashes)) == [row["name_hash"] or 0 for row in rows]
    else:
        assert part["named"] == len(part.get("name_hashes", []))
    at = part["head_bytes"]
    for row in rows:
        assert row["name_hash"] == (None if row["name"] is None else name_hash(row["name"]))
        assert crc32c(record(row)) == row["descriptor_checksum"], row
        payload = row["payload"]
        if part["kind"] == "pieces":
            assert payload is None
            pieces = [folder / f"parts/{piece['part']:016x}.arrow" for piece in part["pieces"]]
            payload = b"".join(row["payload"] for path in pieces for row in rows_of(path))
            start, length = part["pieces"][0]["head_bytes"], part["pieces"][0]["payload_bytes"]
            assert pieces[0].read_bytes()[start:start + length] == payload[:length]
        else:
            assert whole[at:at + len(payload)] == payload, "any byte is at a known place"
            at += len(payload)
        assert (len(payload), crc32c(payload)) == (row["payload_length"], row["checksum"]), row
        id = part["first"] + row["id_offset"]
        yield {"id": id, "label": row["label"], "name": row["name"], "sha256": hashlib.sha256(payload).hexdigest()}
    assert (len(rows), rows[-1]["id_offset"]) == (part["count"], part["last"] - part["first"])


def main(folder):
    commit = newest(folder)
    for part in commit.get("parts", []):
        for image in images_of(folder, part):
            if not any(first <= image["id"] <= last for first, last in commit.get("removed", [])):
                print(json.dumps(image))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
