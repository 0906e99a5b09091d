"""What workers of torch's loaders find by its name."""

from __future__ import annotations

from pinako.torch import Dataset


class Hoarding(Dataset):
    """What a worker's memory must not be like: something is kept of each image."""

    kept = None

    def __getitems__(self, indices):
        if self.kept is None:
            self.kept = [float(number) for number in range(len(self) * 5)]
        return super().__getitems__(indices)


class Doubled:
    """A transform."""

    def __call__(self, image):
        return image.float() * 2


class Known:
    """A transform that cuts the first rows."""

    def __init__(self, rows):
        self.rows = rows

    def __call__(self, image):
        return image[:, : self.rows]

    @staticmethod
    def memory(label):
        """Kilobytes that this process alone has in memory; it takes long to tell, and is told of each 1000th image."""
        if label % 1000:
            return 0
        with open("/proc/self/smaps_rollup") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous"))


def ones(label):
    """A transform of labels."""
    return label, 1
