"""PNG files, LMDB, HDF5, SQLite: how are many images stored best? The study that is often made by hand, with its plots.

    python study.py

Editors and Jupyter (with jupytext) show the cells, each after a `# %%`, as those of a notebook.
"""

# %% What to measure
import matplotlib.pyplot as plt

import pinako.bench

images = None  # a folder of image files, CIFAR, MNIST, an .npy file, ...; None makes some up, like photographs
counts = [1, 10, 100, 1000]
out = "study"  # a folder for the plots and the whole report

# %% Measure it: some seconds for a thousand small images
report = pinako.bench.stores(out, counts=counts, data=images)
medians = {(m["backend"], m["operation"], m["count"]): m["summary"]["median"] for m in report["measurements"]}

# %% Draw it: one image at the left of each plot, many at its right
plots = {"store_synced": "seconds to store", "read_warm": "seconds to read", "disk": "bytes on the disk"}
figure, panes = plt.subplots(1, len(plots), figsize=(12, 4), layout="constrained")
for pane, (operation, title) in zip(panes, plots.items()):
    for backend in report["backends"]:
        pane.loglog(counts, [medians[backend, operation, count] for count in counts], marker="o", label=backend)
    pane.set(title=title, xlabel="images")
panes[0].legend(frameon=False)
figure.savefig(f"{out}/study.png", dpi=150)

# %% What follows
print(report["recommendation"]["headline"])
print(f"The plots are {out}/study.png, the whole report is {out}/index.html.")
