"""Reads an object store without Pinako: its newest manifest and its parts, by pyarrow alone, as FORMAT.md says.

What is under a store's URL:

    manifest/NUMBER.json        each says all that the store holds; the first by name is the newest
    parts/NUMBER.arrow          an Arrow IPC file of some images: a row an image, a column a field of its descriptor,
                                the payloads last; or of one piece of a payload that is too long for one file

Both are immutable, so what one manifest names can be read for as long as no `pinako vacuum` deletes it, by any number
of readers who know nothing of each other. Checksums (CRC32C) are not checked here; `pinako verify` checks them all.
"""
import io
import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.fs
from PIL import Image


def file_system(url):
    """pyarrow's file system for `s3://bucket/prefix`, `object:DIR` or a folder, and the store's path in it."""
    if url.startswith("s3://"):
        # Keys, profiles and roles are found as AWS's own tools find them.
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        return pa.fs.S3FileSystem(endpoint_override=endpoint, region=region), url.removeprefix("s3://").rstrip("/")
    if "://" in url:  # pyarrow has GcsFileSystem and AzureFileSystem: a line each, where they are needed
        raise SystemExit(f"this example reads s3://bucket/prefix, object:DIR and folders, not {url}")
    return pa.fs.LocalFileSystem(use_mmap=True), os.path.abspath(url.removeprefix("object:"))


class Store:
    """A store as its newest manifest says it is. What it holds is small and can be pickled: workers get a copy each."""

    def __init__(self, url):
        self.url = url
        fs, root = file_system(url)
        files = fs.get_file_info(pa.fs.FileSelector(f"{root}/manifest", allow_not_found=True))
        if not files:
            raise SystemExit(f"there is no object store at {url}")
        with fs.open_input_stream(min(file.path for file in files)) as manifest:
            header, line = map(json.loads, manifest.read().splitlines())
        if header["pinako"] != "object" or header["format_version"] != 1:
            raise SystemExit(f"{url} is of a form that this example does not know: {header}")
        commit = line["commit"]
        self.label_names = commit.get("label_names", [])
        self.parts = commit.get("parts", [])
        # First and last ids of intervals, ascending: their images are still in the parts, and no longer in the store.
        self.removed = np.array(commit.get("removed", []), np.uint64).reshape(-1, 2)

    def images(self, part):
        """The images of one of `parts`: their id, the columns that a mean colour needs, and the payload."""
        fs, root = file_system(self.url)
        table = read(fs, root, part)
        ids = part["first"] + table["id_offset"].to_numpy()
        # The interval that begins last at or before an id is the only one that may hold it.
        interval = np.searchsorted(self.removed[:, 0], ids, "right")
        ends = np.concatenate([[-1], self.removed[:, 1].astype(np.int64)])
        there = ids.astype(np.int64) > ends[interval]
        columns = [table[name].to_pylist() for name in ("label", "channels", "sample_type", "encoding")]
        payloads = table["payload"]
        for row in np.flatnonzero(there):
            if part["kind"] == "pieces":  # the only image of its part
                pieces = (read(fs, root, piece)["payload"][0].as_buffer() for piece in part["pieces"])
                payload = b"".join(pieces)
            else:
                payload = payloads[row].as_buffer()  # where it is, not a copy
            yield int(ids[row]), *(column[row] for column in columns), payload


def read(fs, root, part):
    """The file of a part or piece, as a table; out of a local folder nothing is copied."""
    with fs.open_input_file(f"{root}/parts/{part['part']:016x}.arrow") as file, pa.ipc.open_file(file) as reader:
        return reader.read_all()


def pixels(channels, encoding, payload):
    """The samples of an image of 8 bits, a row a pixel. Raw pixels are in the order of their layout."""
    kind = encoding.partition(":")[0]
    if kind == "raw":
        return np.frombuffer(payload, np.uint8).reshape(-1, channels)
    if kind in ("png", "kept"):
        image = Image.open(io.BytesIO(payload)).convert("L" if channels == 1 else "RGB")
        return np.asarray(image).reshape(-1, channels)
    raise ValueError(f"an image is {encoding}: what is linked lies outside of the store")
