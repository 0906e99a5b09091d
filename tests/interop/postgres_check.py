"""Reads a postgres: store with psycopg alone, as FORMAT.md says, and prints a JSON line an image."""
import hashlib
import json
import sys

import psycopg
from crc32c import crc32c
from psycopg.rows import dict_row
from sqlite_check import PIECE, record_of


def main(url):
    server, _, schema = url.partition("?schema=")
    with psycopg.connect(server, options=f"-c search_path={schema or 'pinako'}", row_factory=dict_row) as db:
        store = {}
        for row in db.execute("SELECT key, value, checksum FROM store"):
            assert crc32c(f"{row['key']}{row['value']}".encode()) == row["checksum"], row["key"]
            store[row["key"]] = row["value"]
        assert (store["format"], store["version"]) == ("pinako", "1"), store
        assert isinstance(json.loads(store["label_names"]), list)
        changes, *tokens = store["changes"].split(" ")
        assert len(tokens) == min(int(changes), 16) and all(len(bytes.fromhex(token)) == 8 for token in tokens)

        images = db.execute("SELECT * FROM image ORDER BY id").fetchall()
        total = rows = 0
        for image in images:
            id, length = image["id"], image["payload_length"]
            record = record_of(image)
            assert crc32c(id.to_bytes(8, "big") + record) == image["descriptor_checksum"], id
            found = db.execute("SELECT * FROM payload WHERE id = %s ORDER BY piece", (id,)).fetchall()
            record += image["descriptor_checksum"].to_bytes(4, "little")
            assert all(row["descriptor"] in (None, record) for row in found)
            assert len(found) == 1 or not any(row["descriptor"] for row in found)
            assert [row["piece"] for row in found] == list(range(max(1, -(-length // PIECE))))
            assert all(len(row["bytes"]) == PIECE for row in found[:-1])
            payload = b"".join(row["bytes"] for row in found)
            assert (len(payload), crc32c(payload)) == (length, image["checksum"]), id
            total += length
            rows += len(found)
            sha256 = hashlib.sha256(payload).hexdigest()
            print(json.dumps({"id": id, "label": image["label"], "name": image["name"], "sha256": sha256}))

        assert (int(store["images"]), int(store["payload_bytes"])) == (len(images), total)
        assert all(image["id"] < int(store["next_id"]) for image in images)
        assert db.execute("SELECT count(*) AS n FROM payload").fetchone()["n"] == rows, "no payload without an image"


if __name__ == "__main__":
    main(sys.argv[1])
