"""Reads a `files:` store with json and Pillow, as FORMAT.md says; prints a JSON line for each image.

    python files_check.py DIR
"""
import hashlib
import json
import os
import sys

from crc32c import crc32c, sealed
from PIL import Image


def main(folder):
    with open(os.path.join(folder, "pinako.json"), "rb") as file:
        head = sealed(file.read())
    assert (head["pinako"], head["format_version"]) == ("files", 1), head
    with open(os.path.join(folder, "metadata.jsonl"), "rb") as file:
        lines = [sealed(line) for line in file if line.endswith(b"\n")]
    while lines and not lines[-1]["ends_batch"]:
        lines.pop()
    with open(os.path.join(folder, "metadata.end"), "rb") as file:
        end = int(sealed(file.read())["end"])
    assert end <= (lines[-1]["id"] + 1 if lines else 0), f"metadata.jsonl was cut: it should reach {end}"
    for line in lines:
        path = os.path.join(folder, line["file_name"])
        with open(path, "rb") as file:
            payload = file.read()
        if not line["encoding"].startswith("linked:"):
            assert (len(payload), crc32c(payload)) == (line["payload_length"], line["checksum"]), path
        if not line["encoding"].startswith("raw:"):
            with Image.open(path) as image:
                image.load()
                assert image.size == (line["width"], line["height"]), path
        print(json.dumps({
            "id": line["id"],
            "label": line["label"],
            "name": line["name"] or None,
            "sha256": hashlib.sha256(payload).hexdigest(),
        }))


main(sys.argv[1])
