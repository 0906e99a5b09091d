"""Reads an lmdb: store as FORMAT.md says, without Pinako: prints id, label, name and SHA-256 of each image's payload.

    python lmdb_check.py DIR        prints one JSON object a line
"""
import hashlib
import json
import struct
import sys

import lmdb
from crc32c import crc32c, keyed

PIECE = 16 << 20


def payload(txn, database, id, length, record):
    """The payload's pieces, one after another."""
    value = txn.get(id, db=database)
    before = len(value) - min(length, PIECE)
    if 1 << 10 <= length <= 32 << 10:
        assert value[:before] == struct.pack("<I", len(record)) + bytes(record), id
    else:
        assert before == 0, id
    yield value[before:]
    for number in range(1, -(-length // PIECE)):
        yield txn.get(id + struct.pack(">I", number), db=database)


def main(folder):
    env = lmdb.open(folder, readonly=True, lock=False, max_dbs=4)
    payloads, descriptors, names, store = (
        env.open_db(name, create=False) for name in (b"payload", b"descriptor", b"name", b"store")
    )
    with env.begin(buffers=True) as txn:
        assert bytes(txn.get(b"format", db=store)) == b"pinako"
        assert bytes(txn.get(b"version", db=store)) == b"1"
        total, id = 0, -1
        for key, record in txn.cursor(descriptors):
            id = int.from_bytes(key, "big")
            keyed(bytes(key), record)
            (version, _, encoding, _, checksum, _, _, _, flags, length, label, name_length, _) = struct.unpack_from(
                "<BBBBIIIHHQqII", record
            )
            assert version == 1, version
            start = 44 + (12 if encoding == 3 else 0)
            name = bytes(record[start : start + name_length]).decode() if flags & 2 else None
            if name is not None:
                assert bytes(txn.get(name.encode(), db=names)) == bytes(key), name
            whole = b"".join(payload(txn, payloads, bytes(key), length, record))
            assert (len(whole), crc32c(whole)) == (length, checksum), id
            total += length
            sha256 = hashlib.sha256(whole).hexdigest()
            print(json.dumps({"id": id, "label": label if flags & 1 else None, "name": name, "sha256": sha256}))
        label_names, next_id, payload_bytes = (
            keyed(key, txn.get(key, db=store)) for key in (b"label_names", b"next_id", b"payload_bytes")
        )
        assert isinstance(json.loads(label_names), list)
        assert int.from_bytes(next_id, "big") > id
        assert int.from_bytes(payload_bytes, "big") == total


if __name__ == "__main__":
    main(*sys.argv[1:])
