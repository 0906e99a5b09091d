"""A store is its ecosystem's own: reads an LMDB store by python-lmdb alone, as FORMAT.md says.

    pinako import PICTURES lmdb:store --encoding raw
    python examples/read_without_pinako.py store
"""
import struct
import sys

import lmdb
import numpy as np

FIXED = struct.Struct("<BBBBIIIHHQqII")
SAMPLE_TYPES = ["u1", "<u2", "<u4", "<i2", "<f4", "<f8"]

env = lmdb.open(sys.argv[1], max_dbs=4, readonly=True, lock=False)
payloads, descriptors = (env.open_db(name, create=False) for name in (b"payload", b"descriptor"))
with env.begin() as txn:
    for key, record in txn.cursor(db=descriptors):
        (_, sample, encoding, _, _, height, width, channels, _, length, label, *_) = FIXED.unpack_from(record)
        payload = txn.get(key, db=payloads)[-length:]  # a thumbnail's has the record before it, too
        if encoding == 0:  # raw
            image = np.frombuffer(payload, SAMPLE_TYPES[sample]).reshape(height, width, channels)
            print(int.from_bytes(key, "big"), label, image.shape, image.dtype, f"mean {image.mean():.1f}")
        else:
            print(int.from_bytes(key, "big"), label, f"{len(payload)} bytes of an image file")
