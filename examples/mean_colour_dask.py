"""The mean colour of each label's images, by Dask's workers, each of which reads parts of its own.

    pip install "dask[distributed]" numpy pillow pyarrow
    python examples/mean_colour_dask.py s3://bucket/cifar --workers 4 [--json]

STORE is `s3://bucket/prefix` (keys, region and endpoint come from the environment, as for AWS's own tools),
`object:DIR` or a folder. The workers are processes of this machine; give `Client` the address of a cluster, and they
are anywhere, as long as they reach the store and have `pinako_parts.py`.

A part is a task: its bytes go from the bucket to the worker who adds up its pixels, and only sums come back.
"""
import argparse
import collections
import json
import os
import sys

import numpy as np
from dask.distributed import Client, LocalCluster

import pinako_parts


def colours(store, part):
    """What one part's images add up to, by label: images, pixels, and the sums of red, green and blue."""
    sums = collections.defaultdict(lambda: np.zeros(5, np.uint64))
    left_out = 0
    for _, label, channels, sample_type, encoding, payload in store.images(part):
        if sample_type == "u8" and channels in (1, 3):
            pixels = pinako_parts.pixels(channels, encoding, payload)
            # Grey counts as red, green and blue; the sum of one column fills all three.
            sums[label] += np.array([1, len(pixels), *np.broadcast_to(pixels.sum(0, np.uint64), 3)], np.uint64)
        else:
            left_out += 1
    return dict(sums), left_out, os.getpid(), part["part"]


def run(url, workers):
    """The sums of all parts, and how many images have no colour."""
    store = pinako_parts.Store(url)
    total, left_out, read_by = collections.defaultdict(lambda: np.zeros(5, np.uint64)), 0, collections.defaultdict(list)
    with LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster, \
            Client(cluster) as client:
        # The manifest goes to each worker once. Long parts first, so that no worker ends long after the others.
        everywhere = client.scatter(store, broadcast=True)
        parts = sorted(store.parts, key=lambda part: part["payload_bytes"], reverse=True)
        for sums, others, worker, part in client.gather(client.map(colours, [everywhere] * len(parts), parts)):
            for label, more in sums.items():
                total[label] += more
            left_out += others
            read_by[worker].append(f"{part:016x}")
    for worker, parts in sorted(read_by.items()):
        print(f"process {worker} read {len(parts)} parts: {' '.join(parts)}", file=sys.stderr)
    return store.label_names, total, left_out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", metavar="STORE")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print a JSON object a label")
    arguments = parser.parse_args()

    names, total, left_out = run(arguments.store, arguments.workers)
    if left_out:
        print(f"left out: {left_out} images that are neither grey nor RGB of 8 bits", file=sys.stderr)
    if not arguments.json:
        print(f"{'label':>6}  {'name':<16} {'images':>9}  {'R':>6}  {'G':>6}  {'B':>6}")
    for label in sorted(total, key=lambda label: (label is not None, label)):
        images, pixels, *sums = map(int, total[label])
        name = names[label] if label is not None and 0 <= label < len(names) else None
        mean = [sum / pixels for sum in sums]
        if arguments.json:
            print(json.dumps(dict(label=label, name=name, images=images, pixels=pixels, sums=sums, mean=mean)))
        else:
            red, green, blue = mean
            print(f"{'-' if label is None else label:>6}  {name or '-':<16} {images:>9}  "
                  f"{red:>6.2f}  {green:>6.2f}  {blue:>6.2f}")


if __name__ == "__main__":
    main()
