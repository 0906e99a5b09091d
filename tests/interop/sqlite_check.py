"""Reads a sqlite: store with Python's sqlite3 alone, as FORMAT.md says, and prints a JSON line an image."""
import hashlib
import json
import sqlite3
import sys

PIECE = 1 << 20


def payload_of(db, id, length):
    pieces = range(max(1, -(-length // PIECE)))
    rows = [db.execute("SELECT bytes FROM payload WHERE id = ?", (piece << 40 | id,)).fetchone() for piece in pieces]
    assert all(len(bytes) == PIECE for (bytes,) in rows[:-1])
    return b"".join(bytes for (bytes,) in rows)


def main(path):
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    assert db.execute("PRAGMA application_id").fetchone() == (0x504E4B4F,)
    assert db.execute("PRAGMA user_version").fetchone() == (1,)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    store = dict(db.execute("SELECT key, value FROM store"))
    assert (store["format"], store["version"]) == ("pinako", 1), store
    assert isinstance(json.loads(store["label_names"]), list)

    images = db.execute("SELECT id, label, name, payload_length FROM image ORDER BY id").fetchall()
    total = rows = 0
    for id, label, name, length in images:
        payload = payload_of(db, id, length)
        assert len(payload) == length
        total += length
        rows += max(1, -(-length // PIECE))
        print(json.dumps({"id": id, "label": label, "name": name, "sha256": hashlib.sha256(payload).hexdigest()}))

    assert (store["images"], store["payload_bytes"]) == (len(images), total)
    assert all(id < store["next_id"] for id, *_ in images)
    assert db.execute("SELECT count(*) FROM payload").fetchone() == (rows,), "no payload without an image"


if __name__ == "__main__":
    main(sys.argv[1])
