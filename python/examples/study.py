"""Three ways of storing many images, and one or two more: which suits these? A study in a few lines, with its plots.

    python study.py [IMAGES] [--counts 1,10,100,1000] [--out study]

IMAGES is a folder of image files, CIFAR, MNIST, an .npy file...; without it, images like photographs are made up. The
cells are those of a notebook, for editors that know `# %%`.
"""

# %% What to measure
import argparse

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import pinako.bench

arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("images", nargs="?")
arguments.add_argument("--counts", default="1,10,100,1000")
arguments.add_argument("--out", default="study")
options = arguments.parse_args()
counts = [int(count) for count in options.counts.split(",")]

# %% Measure it: a minute for a thousand images
report = pinako.bench.stores(options.out, counts=counts, data=options.images)
medians = {(m["backend"], m["operation"], m["count"]): m["summary"]["median"] for m in report["measurements"]}

# %% Draw it
figure, panes = plt.subplots(1, 2, figsize=(11, 4), sharey=True, layout="constrained")
for pane, operation in zip(panes, ["store_synced", "read_warm"]):
    for backend in report["backends"]:
        pane.loglog(counts, [medians[backend, operation, count] for count in counts], marker="o", label=backend)
    pane.set(title={"store_synced": "Time to store", "read_warm": "Time to read"}[operation], xlabel="images")
panes[0].set(ylabel="seconds")
panes[0].legend(frameon=False)
figure.savefig(f"{options.out}/study.png", dpi=150)

# %% What follows
print(report["recommendation"]["headline"])
print(f"The plot is {options.out}/study.png, the whole report {options.out}/index.html.")
