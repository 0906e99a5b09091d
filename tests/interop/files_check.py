"""Reads a `files:` store with json and Pillow, as FORMAT.md says; prints a JSON line for each image.

    python files_check.py DIR
"""
import hashlib
import json
import os
import sys

from PIL import Image


def main(folder):
    with open(os.path.join(folder, "pinako.json"), encoding="utf-8") as file:
        head = json.load(file)
    assert (head["pinako"], head["format_version"]) == ("files", 1), head
    with open(os.path.join(folder, "metadata.jsonl"), encoding="utf-8") as file:
        lines = [json.loads(line) for line in file if line.endswith("\n")]
    while lines and not lines[-1]["ends_batch"]:
        lines.pop()
    with open(os.path.join(folder, "metadata.end"), encoding="ascii") as file:
        end = int(file.read())
    assert end <= (lines[-1]["id"] + 1 if lines else 0), f"metadata.jsonl was cut: it should reach {end}"
    for line in lines:
        path = os.path.join(folder, line["file_name"])
        with open(path, "rb") as file:
            payload = file.read()
        if not line["encoding"].startswith("linked:"):
            assert len(payload) == line["payload_length"], path
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
