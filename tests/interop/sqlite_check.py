"""Reads a sqlite: store with Python's sqlite3 alone, as FORMAT.md says, and prints a JSON line an image."""
import hashlib
import json
import sqlite3
import struct
import sys

from crc32c import crc32c

PIECE = 1 << 20
SAMPLE_TYPES = ["u8", "u16", "u32", "i16", "f32", "f64"]
FORMATS = ["jpeg", "png", "webp", "tiff", "bmp", "gif", "qoi", "pnm"]


def record_of(image):
    """The descriptor record of a row, but for the checksum at its end."""
    encoding, *details = image["encoding"].split(":")
    code = {"raw": 0, "png": 1, "kept": 2, "linked": 3}[encoding]
    detail = 0
    if code > 1:
        detail = FORMATS.index(details[0])
    elif details[:1] == ["hilbert"]:
        detail = int(details[1]).bit_length()
    name, attributes = ((image[key] or "").encode() for key in ("name", "attributes"))
    flags = sum(flag for flag, key in [(1, "label"), (2, "name"), (4, "attributes")] if image[key] is not None)
    fixed = struct.pack(
        "<BBBBIIIHHQqII", 1, SAMPLE_TYPES.index(image["sample_type"]), code, detail,
        image["checksum"], image["height"], image["width"], image["channels"], flags, image["payload_length"],
        image["label"] or 0, len(name), len(attributes),
    )
    link = struct.pack("<QI", int(details[1]), int(details[2], 16)) if code == 3 else b""
    return fixed + link + name + attributes


def payload_of(db, id, length):
    pieces = range(max(1, -(-length // PIECE)))
    rows = [db.execute("SELECT bytes FROM payload WHERE id = ?", (piece << 40 | id,)).fetchone() for piece in pieces]
    assert all(len(bytes) == PIECE for (bytes,) in rows[:-1])
    return b"".join(bytes for (bytes,) in rows)


def main(path):
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    db.row_factory = sqlite3.Row
    assert db.execute("PRAGMA application_id").fetchone()[0] == 0x504E4B4F
    assert db.execute("PRAGMA user_version").fetchone()[0] == 1
    assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    store = {}
    for key, value, checksum in db.execute("SELECT key, value, checksum FROM store"):
        assert crc32c(f"{key}{value}".encode()) == checksum, key
        store[key] = value
    assert (store["format"], store["version"]) == ("pinako", 1), store
    assert isinstance(json.loads(store["label_names"]), list)

    images = db.execute("SELECT * FROM image ORDER BY id").fetchall()
    total = rows = 0
    for image in images:
        id, length = image["id"], image["payload_length"]
        assert crc32c(id.to_bytes(8, "big") + record_of(image)) == image["descriptor_checksum"], id
        payload = payload_of(db, id, length)
        assert (len(payload), crc32c(payload)) == (length, image["checksum"]), id
        total += length
        rows += max(1, -(-length // PIECE))
        sha256 = hashlib.sha256(payload).hexdigest()
        print(json.dumps({"id": id, "label": image["label"], "name": image["name"], "sha256": sha256}))

    assert (store["images"], store["payload_bytes"]) == (len(images), total)
    assert all(id < store["next_id"] for id, *_ in images)
    assert db.execute("SELECT count(*) FROM payload").fetchone()[0] == rows, "no payload without an image"


if __name__ == "__main__":
    main(sys.argv[1])
