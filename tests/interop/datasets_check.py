"""Loads a `files:` store of PNG or JPEG files with Hugging Face datasets; prints the count of images, then a JSON line
for each, with its file and label.

    python datasets_check.py DIR
"""
import json
import os
import sys
import tempfile


def main(folder):
    with tempfile.TemporaryDirectory() as cache:
        # Before the import, which reads them.
        os.environ.update(HF_HUB_OFFLINE="1", HF_HOME=cache)
        import datasets

        datasets.disable_progress_bars()
        dataset = datasets.load_dataset("imagefolder", data_dir=folder, split="train", cache_dir=cache)
        print(json.dumps({"count": len(dataset)}))
        if len(dataset):
            row = dataset[0]
            assert row["image"].size == (row["width"], row["height"])
        for row in dataset.cast_column("image", datasets.Image(decode=False)):
            print(json.dumps({"file_name": os.path.basename(row["image"]["path"]), "label": row["label"]}))


main(sys.argv[1])
