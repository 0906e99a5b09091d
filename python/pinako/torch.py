"""Stores for PyTorch: a dataset, and a loader whose epochs can be taken up where they were.

>>> from pinako.torch import DataLoader, Dataset
>>> loader = DataLoader(Dataset("lmdb:cifar"), batch_size=256, seed=7)
>>> for images, labels in loader:       # in random order: N,C,H,W of uint8, and N of int64
...     ...

The order of an epoch is a function of seed, epoch, rank and world size, and of nothing else: not of the number of
workers, and not of what was read before. So ``loader.state_dict()`` is a few numbers, and a loader that they are given
to goes on with the very next batch.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.utils.data

from . import _arrays, _pinako
from ._store import Store, Url

__all__ = ["Batches", "DataLoader", "Dataset", "collate"]


class Dataset(torch.utils.data.Dataset[Any]):
    """The images of a store, each with its label: a map-style dataset.

    An item is a contiguous tensor of C,H,W and the number of the label, -1 where there is none. The store is opened anew
    in each process that reads: a dataset can be pickled, forked, and used by threads.

    Args:
        url: the store, or what :func:`pinako.open` takes for one.
        transform: is given each image, a tensor of C,H,W (as :mod:`torchvision.transforms.v2` takes them).
        target_transform: is given each label.
        ids: of which images, in this order; unless given, of all that there are when the dataset is made.
        options: as :func:`pinako.open` has them, where it is to open the store.
    """

    def __init__(
        self,
        url: Url | Store,
        *,
        transform: Callable[[torch.Tensor], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        ids: Any = None,
        **options: Any,
    ) -> None:
        if isinstance(url, Store) and options:
            raise TypeError(f"a store that is open has its options already: {', '.join(options)} cannot be given")
        self.store = url if isinstance(url, Store) else Store(url, "r", **options)
        self.transform = transform
        self.target_transform = target_transform
        self._count = len(self.store)
        # Without gaps, places are ids.
        self._ids: npt.NDArray[np.int64] | _Runs | None = None
        if ids is not None or self._count != self.store.next_id:
            found = _arrays.ids(self.store.ids if ids is None else ids)
            runs = _Runs(found)
            self._count = len(found)
            # Each worker that is not forked is sent them.
            self._ids = runs if runs.count < len(found) // 2 else found

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Any:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        worker = torch.utils.data.get_worker_info()
        if worker is not None:
            _pinako.share_cores(worker.num_workers)
        places = _arrays.ids(indices)
        if places.size and (places.min() < -self._count or places.max() >= self._count):
            raise IndexError(f"there are {self._count} images")
        places = np.where(places < 0, places + self._count, places)
        ids = places if self._ids is None else self._ids[places]
        as_they_are = self.transform is None and self.target_transform is None
        # What a transform makes is copied into a batch yet: only what is one already is worth memory that is shared.
        images = _Empty(shared=as_they_are and worker is not None)
        labels = self.store._planes_into(ids, images)
        if labels is not None:
            batch = _Batch(images.tensor, torch.from_numpy(labels))
            return batch if as_they_are else [self._sample(*sample) for sample in batch]
        found, labels = self.store._labelled(ids)
        tensors = (torch.from_numpy(image).permute(2, 0, 1).contiguous() for image in found)
        return [self._sample(*sample) for sample in zip(tensors, labels.tolist())]

    def _sample(self, image: torch.Tensor, label: int) -> Any:
        return (
            image if self.transform is None else self.transform(image),
            label if self.target_transform is None else self.target_transform(label),
        )


class _Runs:
    """Ids of which most are one more than the one before, by the runs of such: a few removals make a few numbers."""

    def __init__(self, ids: npt.NDArray[np.int64]) -> None:
        self._starts = np.flatnonzero(np.diff(ids, prepend=ids[:1]) != 1)
        self._skipped = ids[self._starts] - self._starts
        self.count = len(self._starts)

    def __getitem__(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        run = np.searchsorted(self._starts, places, "right") - 1
        return places + self._skipped[run]


class _Empty:
    """Makes a tensor, and gives it as an array to be filled."""

    tensor: torch.Tensor

    def __init__(self, shared: bool) -> None:
        self.shared = shared

    def __call__(self, shape: list[int], dtype: str) -> Any:
        kind: torch.dtype = getattr(torch, dtype)
        if not self.shared:
            self.tensor = torch.empty(shape, dtype=kind)
        else:
            # What a worker makes in memory that it shares with the loader's process is not copied on its way there. torch's
            # own collate_fn does so by this name, too: there is no public one.
            length = math.prod(shape) * kind.itemsize
            storage = torch.UntypedStorage._new_shared(length)  # type: ignore[no-untyped-call]
            self.tensor = torch.empty(0, dtype=kind).set_(storage).view(shape)
        return self.tensor.numpy()


class _Batch(list):  # type: ignore[type-arg]
    """Samples that stand in one array already."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        super().__init__(zip(images, labels.tolist()))
        self.images, self.labels = images, labels


def collate(samples: list[Any]) -> Any:
    """Makes tensors of samples as torch does; what stands in one already is not copied."""
    if isinstance(samples, _Batch):
        return samples.images, samples.labels
    return torch.utils.data.default_collate(samples)


class Batches(torch.utils.data.Sampler[list[int]]):
    """Batches of places, in an order that has no state: that of the seed, the epoch, the rank and the world size.

    Each rank has as many as the others. Where the images do not go round, the first of the epoch come once more, or,
    with ``drop_last``, the last are left out.

    Attributes:
        epoch: which order comes next.
        start: with which of its batches.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        *,
        shuffle: bool = True,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool = False,
    ) -> None:
        size, batch_size, seed = operator.index(size), operator.index(batch_size), operator.index(seed)
        rank, world_size = operator.index(rank), operator.index(world_size)
        if batch_size < 1 or not 0 <= rank < world_size:
            raise ValueError(f"there are no batches of {batch_size} for rank {rank} of {world_size}")
        if not 0 <= seed < 1 << 64:
            raise ValueError(f"a seed is a number of 64 bits, not {seed}")
        self.size, self.batch_size, self.shuffle, self.seed = size, batch_size, shuffle, seed
        self.rank, self.world_size, self.drop_last = rank, world_size, drop_last
        self.epoch, self.start = 0, 0

    @property
    def of_rank(self) -> int:
        """Images of an epoch that are this rank's."""
        return self.size // self.world_size if self.drop_last else math.ceil(self.size / self.world_size)

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return self.of_rank // self.batch_size if self.drop_last else math.ceil(self.of_rank / self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        epoch = self.epoch
        for batch in range(self.start, len(self)):
            first = batch * self.batch_size
            of_rank = range(first, min(first + self.batch_size, self.of_rank))
            places = [(place * self.world_size + self.rank) % self.size for place in of_rank]
            yield _pinako.shuffled(self.size, self.seed, epoch, places).tolist() if self.shuffle else places


class DataLoader(torch.utils.data.DataLoader[Any]):
    """torch's loader with an order that can be repeated and taken up anywhere: a random one, unless told otherwise.

    Iterating it to the end is one epoch, and the next time the next one; an epoch that was left is begun again.
    :meth:`state_dict` may be asked for between any two batches; it counts those that were given out, whatever workers
    have read ahead. Whoever is given it goes on with the next batch of that epoch. It is the order that goes on: the
    random numbers that a transform draws are torch's, and are others then.

    Args:
        dataset: a :class:`Dataset`, or any other of map style.
        batch_size: images a batch, of each rank.
        shuffle: whether the order is random (torch's own is not, unless told so), or that of the dataset.
        seed: which random order.
        rank, world_size: which part of each epoch; unless given, those of :mod:`torch.distributed` where that is in use.
        drop_last: whether batches that would not be full are left out.
        options: as of :class:`torch.utils.data.DataLoader`.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = True,
        *,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        drop_last: bool = False,
        **options: Any,
    ) -> None:
        for name in ("sampler", "batch_sampler"):
            if name in options:
                raise TypeError(f"the order is this loader's own: {name} cannot be given")
        if not options.get("in_order", True):
            raise TypeError("batches come in order, or state_dict() would not know which have come: in_order cannot be False")
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        if rank is None:
            rank = torch.distributed.get_rank() if distributed else 0
        if world_size is None:
            world_size = torch.distributed.get_world_size() if distributed else 1
        self.batches = Batches(
            len(dataset), batch_size, shuffle=shuffle, seed=seed, rank=rank, world_size=world_size, drop_last=drop_last
        )
        self._first = 0  # the batch that this epoch begins with: that of a state that was loaded
        self._begun = 0
        options.setdefault("collate_fn", collate)
        super().__init__(dataset, batch_sampler=self.batches, **options)
        # torch says None and False of all whose batches are made elsewhere, and lets nobody set these.
        object.__setattr__(self, "batch_size", self.batches.batch_size)
        object.__setattr__(self, "drop_last", drop_last)

    @property
    def epoch(self) -> int:
        """The epoch that it is in, or, after the end of one, the next."""
        return self.batches.epoch

    def set_epoch(self, epoch: int) -> None:
        """Goes to the beginning of an epoch, or, in the very epoch of a state that was loaded, to where that was.

        There is no need to: each time the loader is iterated to its end, the next epoch comes by itself.
        """
        if epoch < 0:
            raise ValueError(f"there is no epoch {epoch}")
        if epoch != self.epoch:
            self._first = 0
        self.batches.epoch, self.batches.start = epoch, self._first

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        # An epoch that was left is begun again: ranks of which one took a look at a batch would part ways otherwise.
        self.batches.start = self._first
        self._begun += 1
        # Each iterator counts for itself, and where the loader is said to be is where the one is that was asked last.
        own, epoch = self._begun, self.epoch
        for step, batch in enumerate(super().__iter__(), self.batches.start + 1):
            self.batches.epoch, self.batches.start = epoch, step
            yield batch
            if self.persistent_workers and self._begun != own:
                raise RuntimeError("persistent workers read for one iterator at a time, and another has been begun")
        self.batches.epoch, self.batches.start, self._first = epoch + 1, 0, 0

    def state_dict(self) -> dict[str, Any]:
        """Where it is: what :meth:`load_state_dict` takes.

        Of several iterators, as where a batch is looked at by ``next(iter(loader))`` inside of a loop, it is the place of
        the one that gave out a batch last.
        """
        order = self.batches
        return {
            "epoch": order.epoch,
            "step": order.start,
            "seed": order.seed,
            "shuffle": order.shuffle,
            "size": order.size,
            "batch_size": order.batch_size,
            "world_size": order.world_size,
            "drop_last": order.drop_last,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where another loader was. What is left of that epoch is an epoch like others: if it is left, it is begun
        again there.

        Raises:
            ValueError: the other one had another order: another seed, size, batch size, world size.
        """
        own = self.state_dict()
        order = [key for key in own if key not in ("epoch", "step")]
        if any(state.get(key) != own[key] for key in order):
            given, here = ({key: one.get(key) for key in order if state.get(key) != own[key]} for one in (state, own))
            raise ValueError(f"the state is that of another order: {given}, here {here}")
        epoch, step = operator.index(state.get("epoch", -1)), operator.index(state.get("step", -1))
        if epoch < 0 or not 0 <= step <= len(self.batches):
            raise ValueError(f"there is no batch {step} of epoch {epoch}: an epoch has {len(self.batches)}")
        self.batches.epoch, self.batches.start, self._first = epoch, step, step
