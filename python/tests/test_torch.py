"""Stores for PyTorch: datasets, loaders, and epochs that are taken up where they were."""

from __future__ import annotations

import itertools
import json
import os
import pickle

import numpy as np
import pytest
from samples import forked, pictures

import pinako

if os.environ.get("CI"):
    import torch
else:
    torch = pytest.importorskip("torch")

from samples_torch import Doubled, Hoarding, Known, ones  # noqa: E402

from pinako.torch import Batches, DataLoader, Dataset, collate  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
]


def made(path, count=40, **options):
    """A store whose images have their ids as labels."""
    with pinako.open(path, "w") as store:
        store.append(pictures(count, **options), labels=range(count))
    return path


@pytest.fixture
def url(tmp_path):
    return made(tmp_path / "s")


def order(loader):
    """The labels that each batch of an epoch has."""
    return [labels.tolist() for _, labels in loader]


def test_a_dataset_has_tensors(url):
    images = pictures(40)
    dataset = Dataset(url)
    assert len(dataset) == 40
    image, label = dataset[3]
    assert image.dtype == torch.uint8 and image.shape == (3, 8, 6) and label == 3
    np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), images[3])
    assert dataset[-1][1] == 39 and dataset[np.int64(5)][1] == 5 and dataset[torch.tensor(5)][1] == 5
    batch, labels = collate(dataset.__getitems__([4, 2, 2]))
    assert batch.is_contiguous() and batch.shape == (3, 3, 8, 6) and labels.dtype == torch.int64
    np.testing.assert_array_equal(batch.permute(0, 2, 3, 1).numpy(), images[[4, 2, 2]])
    assert labels.tolist() == [4, 2, 2]
    assert [label for _, label in dataset.__getitems__([1, 0])] == [1, 0]


def test_what_a_dataset_has_not(url):
    dataset = Dataset(url)
    for index in (40, -41, 10**30):
        with pytest.raises(IndexError):
            dataset[index]
    with pytest.raises(IndexError):
        dataset.__getitems__([0, 40])
    for index in ("a", 1.5, None, True):
        with pytest.raises(TypeError):
            dataset[index]
    assert sum(1 for _ in dataset) == 40  # as a sequence that ends with an IndexError
    with pytest.raises(FileNotFoundError):
        Dataset(url / "nothing")


def test_options_that_would_have_no_effect(url):
    with pinako.open(url) as store:
        for of in (url, store):
            with pytest.raises(TypeError, match="transforms"):
                Dataset(of, transforms=Doubled())
        with pytest.raises(TypeError, match="verify_checksums"):
            Dataset(store, verify_checksums=False)


def test_images_without_labels(tmp_path):
    with pinako.open(tmp_path / "s", "w") as store:
        store.append(pictures(2))
        assert Dataset(store)[1][1] == -1


def test_ids_and_gaps(url):
    assert [label for _, label in Dataset(url, ids=[7, 3, 3])] == [7, 3, 3]
    assert [label for _, label in Dataset(url, ids=range(30, 34))] == [30, 31, 32, 33]
    assert len(Dataset(url, ids=[])) == 0
    with pinako.open(url, "a") as store:
        store.remove([0, 5, 39])
        dataset = Dataset(store)
        assert len(dataset) == 37
        assert [label for _, label in dataset] == [n for n in range(40) if n not in (0, 5, 39)]
    assert sorted(sum(order(DataLoader(Dataset(url), 8)), [])) == [n for n in range(40) if n not in (0, 5, 39)]
    with pytest.raises(IndexError):
        Dataset(url, ids=[5])[0]
    with pytest.raises(TypeError):
        Dataset(url, ids=["a"])


def test_what_a_worker_is_sent_of_ids(tmp_path):
    url = made(tmp_path / "s", 5_000, height=1, width=1)
    everything = len(pickle.dumps(Dataset(url)))
    part = pickle.loads(pickle.dumps(Dataset(url, ids=range(1000, 4000))))
    assert [part[place][1] for place in (0, 7, -1)] == [1000, 1007, 3999]
    with pinako.open(url, "a") as store:
        store.remove([0, 17, 18, 4_999])
    there = [n for n in range(5_000) if n not in (0, 17, 18, 4_999)]
    for ids in (None, there, there[:1500] + there, np.arange(1000, 4000)):
        dataset = Dataset(url, ids=ids)
        sent = pickle.dumps(dataset)
        assert len(sent) < everything + 1000
        _, labels = collate(pickle.loads(sent).__getitems__(range(len(dataset))))
        assert labels.tolist() == list(there if ids is None else ids)
    for ids in ([4_000, 3_000, 3_001, 20, -1, -2], [-2, -1, *range(2000, 2010)]):
        wanted = [there[n] if n < 0 else n for n in ids]
        assert [label for _, label in Dataset(url, ids=ids)] == wanted


def test_transforms(url):
    dataset = Dataset(url, transform=Doubled(), target_transform=ones)
    image, label = dataset[3]
    assert image.dtype == torch.float32 and label == (3, 1)
    np.testing.assert_array_equal(image.numpy(), pictures(40)[3].transpose(2, 0, 1) * 2.0)
    images, labels = next(iter(DataLoader(dataset, 4, shuffle=False)))
    assert images.shape == (4, 3, 8, 6) and labels[0].tolist() == [0, 1, 2, 3]
    assert Dataset(url, target_transform=ones)[2][1] == (2, 1)


def test_transforms_of_torchvision(url):
    v2 = pytest.importorskip("torchvision.transforms.v2")
    resized = v2.Compose([v2.Resize((4, 4)), v2.ToDtype(torch.float32, scale=True)])
    images, _ = next(iter(DataLoader(Dataset(url, transform=resized), 5)))
    assert images.shape == (5, 3, 4, 4) and 0 <= images.min() and images.max() <= 1


def flat(image):
    """A transform that needs its image in one piece."""
    return image.view(-1)


def test_images_are_contiguous(url, tmp_path):
    images = pictures(40)
    with pinako.open(tmp_path / "several", "w") as store:
        store.append([images[0], images[1, :4]])
    for of, count in ((url, 3), (tmp_path / "several", 2)):
        for n, (image, _) in enumerate(Dataset(of).__getitems__(range(count))):
            np.testing.assert_array_equal(image.view(3, -1, 6).numpy(), images[n].transpose(2, 0, 1)[:, : image.shape[1]])
            assert Dataset(of)[n][0].is_contiguous()
        for n, (image, _) in enumerate(Dataset(of, transform=flat).__getitems__(range(count))):
            np.testing.assert_array_equal(image.numpy(), images[n].transpose(2, 0, 1)[:, : len(image) // 18].ravel())
    flats, _ = next(iter(DataLoader(Dataset(url, transform=flat), 5, False, num_workers=1)))
    np.testing.assert_array_equal(flats.numpy(), images[:5].transpose(0, 3, 1, 2).reshape(5, -1))


def test_images_of_several_shapes(tmp_path):
    with pinako.open(tmp_path / "s", "w") as store:
        store.append([pictures(1, 4 + n, 5)[0] for n in range(6)], labels=range(6))
    dataset = Dataset(tmp_path / "s")
    assert [image.shape[1] for image, _ in dataset] == [4, 5, 6, 7, 8, 9]
    with pytest.raises(RuntimeError, match="equal size"):
        next(iter(DataLoader(dataset, 3)))
    cut = Dataset(tmp_path / "s", transform=Known(4))
    assert next(iter(DataLoader(cut, 6)))[0].shape == (6, 3, 4, 5)
    lists = DataLoader(dataset, 3, collate_fn=list)
    assert all(len(batch) == 3 for batch in lists)


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32", "float64", "uint32"])
def test_types_of_samples(tmp_path, dtype):
    url = made(tmp_path / "s", 4, dtype=dtype)
    images, _ = next(iter(DataLoader(Dataset(url), 4, shuffle=False)))
    np.testing.assert_array_equal(images.permute(0, 2, 3, 1).numpy(), pictures(4, dtype=dtype))


def test_any_number_of_workers_gives_the_same_order(url):
    wanted = order(DataLoader(Dataset(url), 6, seed=3))
    assert sorted(sum(wanted, [])) == list(range(40)) != sum(wanted, [])
    for workers in (1, 2, 3):
        loader = DataLoader(Dataset(url), 6, seed=3, num_workers=workers)
        assert order(loader) == wanted
    persistent = DataLoader(Dataset(url), 6, seed=3, num_workers=2, persistent_workers=True)
    assert order(persistent) == wanted
    second = order(persistent)
    once = DataLoader(Dataset(url), 6, seed=3)
    assert order(once) == wanted and order(once) == second != wanted


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_each_way_to_start_workers(url, method):
    dataset = Dataset(url, transform=Doubled())
    dataset[0]  # which has it open here
    loader = DataLoader(dataset, 6, seed=3, num_workers=2, multiprocessing_context=method, timeout=60)
    assert order(loader) == order(DataLoader(Dataset(url), 6, seed=3))
    dataset[0]


def test_images_of_workers_are_the_images(url):
    images = pictures(40)
    for batch, labels in DataLoader(Dataset(url), 7, num_workers=2):
        np.testing.assert_array_equal(batch.permute(0, 2, 3, 1).numpy(), images[labels.numpy()])


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_that_was_interrupted_anywhere(url, workers):
    options = {"seed": 5, "num_workers": workers}
    whole = DataLoader(Dataset(url), 7, **options)
    wanted = [order(whole), order(whole)]
    for step in range(len(wanted[0]) + 1) if workers == 0 else (0, 1, 4, 6):
        loader = DataLoader(Dataset(url), 7, **options)
        seen = [labels.tolist() for _, labels in itertools.islice(loader, step)]
        state = pickle.loads(pickle.dumps(loader.state_dict()))
        resumed = DataLoader(Dataset(url), 7, **options)
        resumed.load_state_dict(state)
        seen += order(resumed)
        assert seen == wanted[0], step
        assert resumed.state_dict()["epoch"] == 1
        assert order(resumed) == wanted[1]


def test_the_state_between_two_batches(url):
    loader = DataLoader(Dataset(url), 7, seed=5, num_workers=2)
    for step, _ in enumerate(loader):
        assert (loader.state_dict()["epoch"], loader.state_dict()["step"]) == (0, step + 1)
    assert (loader.state_dict()["epoch"], loader.state_dict()["step"]) == (1, 0)


def test_a_state_at_the_end_of_an_epoch(url):
    """Taken after the last batch, before the loop was told that there is none."""
    loader = DataLoader(Dataset(url), 8, seed=5)
    walk = iter(loader)
    for _ in range(5):
        next(walk)
    resumed = DataLoader(Dataset(url), 8, seed=5)
    resumed.load_state_dict(loader.state_dict())
    whole = DataLoader(Dataset(url), 8, seed=5)
    order(whole)
    rest = order(resumed)
    assert (rest or order(resumed)) == order(whole)


@pytest.mark.parametrize("options", [{}, {"num_workers": 2}, {"num_workers": 2, "persistent_workers": True}], ids=repr)
def test_an_epoch_that_was_given_up(url, options):
    """A loop that was left with break, or a look at one batch: the epoch begins again, unless a state says to go on."""
    whole = DataLoader(Dataset(url), 8, seed=5)
    epochs = [order(whole), order(whole)]
    loader = DataLoader(Dataset(url), 8, seed=5, **options)
    next(iter(loader))
    for step, _ in enumerate(loader):
        if step == 1:
            break
    state = loader.state_dict()
    assert (state["epoch"], state["step"]) == (0, 2)
    assert order(loader) == epochs[0]
    loader.load_state_dict(state)
    assert order(loader) == epochs[0][2:]
    assert order(loader) == epochs[1]
    loader.set_epoch(0)
    assert order(loader) == epochs[0]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_look_at_a_batch_within_an_epoch(url, workers):
    """Each iterator counts for itself: the place is that of the one that gave out a batch last."""
    loader = DataLoader(Dataset(url), 8, seed=5, num_workers=workers)
    epochs = [order(loader), order(loader)]
    loader.set_epoch(0)
    seen = []
    for step, (_, labels) in enumerate(loader, 1):
        assert (loader.epoch, loader.state_dict()["step"]) == (0, step)
        seen.append(labels.tolist())
        if step == 2:
            assert next(iter(loader))[1].tolist() == epochs[0][0]
            assert loader.state_dict()["step"] == 1
    assert seen == epochs[0]
    assert loader.epoch == 1
    for (_, one), (_, other) in itertools.zip_longest(loader, loader):
        assert one.tolist() == other.tolist()
    assert loader.epoch == 2, "an epoch was read twice, but it was one"


def test_a_look_at_a_batch_of_a_state_that_was_loaded(url):
    loader = DataLoader(Dataset(url), 8, seed=5)
    epochs = [order(loader), order(loader)]
    loader.load_state_dict({**loader.state_dict(), "epoch": 0, "step": 3})
    for _ in range(2):
        assert next(iter(loader))[1].tolist() == epochs[0][3]
    assert order(loader) == epochs[0][3:]
    assert order(loader) == epochs[1]


def test_numbers_of_numpy_s_are_numbers(url):
    given = {"batch_size": np.int64(8), "seed": np.uint8(3), "rank": np.int32(0), "world_size": np.int64(1)}
    loader = DataLoader(Dataset(url), **given)
    assert json.loads(json.dumps(loader.state_dict())) == DataLoader(Dataset(url), 8, seed=3).state_dict()
    assert type(loader.batch_size) is int
    for wrong in ({"batch_size": 2.5}, {"batch_size": None}, {"seed": 1.5}, {"in_order": False}):
        with pytest.raises(TypeError):
            DataLoader(Dataset(url), **wrong)
    with pytest.raises(TypeError):
        loader.load_state_dict({**loader.state_dict(), "step": 1.5})


def test_persistent_workers_read_for_one_iterator_at_a_time(url):
    loader = DataLoader(Dataset(url), 8, num_workers=1, persistent_workers=True)
    with pytest.raises(RuntimeError, match="another has been begun"):
        for _ in loader:
            next(iter(loader))
    assert sorted(sum(order(loader), [])) == list(range(40))


def test_a_loop_over_epochs_that_was_interrupted(url):
    """As it is usually written: the state, then set_epoch at the beginning of each epoch."""
    whole = DataLoader(Dataset(url), 8, seed=5)
    epochs = [order(whole), order(whole), order(whole)]
    whole.set_epoch(1)
    for step, _ in enumerate(whole):
        if step == 2:
            break
    state = whole.state_dict()
    loader = DataLoader(Dataset(url), 8, seed=5)
    loader.load_state_dict(state)
    assert loader.epoch == 1
    seen = []
    for epoch in range(loader.epoch, 3):
        loader.set_epoch(epoch)
        seen.append(order(loader))
    assert seen == [epochs[1][3:], epochs[2]]
    loader.load_state_dict(state)
    loader.set_epoch(2)
    assert order(loader) == epochs[2]
    whole.set_epoch(1)
    assert whole.state_dict()["step"] == 0
    with pytest.raises(ValueError):
        loader.set_epoch(-1)


def test_states_of_other_orders_are_refused(url):
    state = DataLoader(Dataset(url), 8, seed=1).state_dict()
    others = [
        {"seed": 2}, {"seed": 1, "batch_size": 9}, {"seed": 1, "shuffle": False}, {"seed": 1, "drop_last": True},
        {"seed": 1, "rank": 0, "world_size": 2},
    ]
    for other in others:
        loader = DataLoader(Dataset(url), **{"batch_size": 8, **other})
        with pytest.raises(ValueError, match="another order"):
            loader.load_state_dict(state)
    with pytest.raises(ValueError, match="size"):
        DataLoader(Dataset(url, ids=range(10)), 8, seed=1).load_state_dict(state)
    for wrong in ({}, {"epoch": 1}, {**state, "step": -1}, {**state, "step": 99}, {**state, "epoch": -1}):
        with pytest.raises(ValueError):
            DataLoader(Dataset(url), 8, seed=1).load_state_dict(wrong)


@pytest.mark.parametrize("size, world, batch, drop_last", [(40, 3, 4, False), (40, 3, 4, True), (7, 4, 1, False), (3, 8, 2, False)])
def test_ranks_share_an_epoch(size, world, batch, drop_last):
    ranks = [Batches(size, batch, seed=2, rank=rank, world_size=world, drop_last=drop_last) for rank in range(world)]
    parts = [list(rank) for rank in ranks]
    assert len({len(part) for part in parts}) == 1 and all(len(part) == len(rank) for part, rank in zip(parts, ranks))
    assert len({tuple(len(one) for one in part) for part in parts}) == 1
    places = sum((sum(part, []) for part in parts), [])
    if drop_last:
        assert len(places) == len(set(places)) and all(len(one) == batch for part in parts for one in part)
    else:
        assert set(places) == set(range(size)) and len(places) == -(-size // world) * world


def test_ranks_come_from_torch_distributed(url, monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda *_: 1)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda *_: 2)
    batches = DataLoader(Dataset(url), 4).batches
    assert (batches.rank, batches.world_size, batches.of_rank) == (1, 2, 20)


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"batch_size": -1}, {"rank": 2, "world_size": 2}, {"rank": -1},
                                     {"world_size": 0}, {"seed": -1}, {"seed": 2**64}])
def test_batches_that_are_none(url, options):
    with pytest.raises(ValueError):
        DataLoader(Dataset(url), **options)
    for name in ("sampler", "batch_sampler"):
        with pytest.raises(TypeError, match=name):
            DataLoader(Dataset(url), **{name: [0]})


def test_what_a_loader_says_of_itself(url):
    for loader, said in (
        (DataLoader(Dataset(url)), (1, False)),
        (DataLoader(Dataset(url), 7, drop_last=True, num_workers=1), (7, True)),
    ):
        assert (loader.batch_size, loader.drop_last) == said
        assert len(order(loader)) == len(loader) == 40 // said[0]
    with pytest.raises(ValueError, match="batch_size"):
        loader.batch_size = 9
    assert sum(order(DataLoader(Dataset(url), 7, False)), []) == list(range(40)) != sum(order(DataLoader(Dataset(url), 7)), [])


def test_no_images(tmp_path):
    with pinako.open(tmp_path / "s", "w") as store:
        store.append(pictures(1))
        store.remove(0)
        assert order(DataLoader(Dataset(store), 4)) == []


@pytest.mark.parametrize("seed", [0, 1, 2**63, 2**64 - 1])
def test_each_order_is_a_permutation(seed):
    for size in range(1, 301) if seed < 2 else (1, 2, 100):
        assert sorted(sum(Batches(size, 64, seed=seed), [])) == list(range(size))


def test_other_seeds_and_epochs_are_other_orders():
    seen = set()
    for seed, epoch in itertools.product([0, 1, 2, 2**32, 2**40], range(5)):
        batches = Batches(100, 100, seed=seed)
        batches.epoch = epoch
        seen.add(tuple(sum(batches, [])))
    assert len(seen) == 25


def test_the_order_is_about_uniform():
    """Of 12 images over many epochs each comes about as often at each place, and after each other one."""
    size, epochs = 12, 6000
    places = np.zeros((size, size))
    pairs = np.zeros((size, size))
    for epoch in range(epochs):
        order = pinako._pinako.shuffled(size, 9, epoch, range(size))
        places[np.arange(size), order] += 1
        pairs[order[:-1], order[1:]] += 1
    np.fill_diagonal(pairs, np.nan)
    for counts, wanted, free in ((places, epochs / size, (size - 1) ** 2), (pairs, epochs / size, size * (size - 1))):
        chi = np.nansum((counts - wanted) ** 2 / wanted)
        assert abs(chi - free) < 6 * (2 * free) ** 0.5


def test_torch_s_own_loader_and_samplers(url):
    data = torch.utils.data
    dataset = Dataset(url)
    seen = [labels for _, labels in data.DataLoader(dataset, 8, shuffle=True)]
    assert sorted(torch.cat(seen).tolist()) == list(range(40))
    two = data.DataLoader(dataset, 8, num_workers=2)
    assert torch.cat([labels for _, labels in two]).tolist() == list(range(40))
    single = data.DataLoader(dataset, batch_size=None)
    assert [label for _, label in single] == list(range(40))
    weighted = data.WeightedRandomSampler([0.0] * 39 + [1.0], 5)
    assert [label.tolist() for _, label in data.DataLoader(dataset, 5, sampler=weighted)] == [[39] * 5]
    ours = data.DataLoader(dataset, batch_sampler=Batches(40, 8, seed=1), collate_fn=collate)
    assert order(ours) == order(DataLoader(dataset, 8, seed=1))
    subset = data.Subset(dataset, [5, 6])
    assert [label for _, label in subset] == [5, 6]
    assert order(DataLoader(subset, 2, shuffle=False)) == [[5, 6]]
    both = data.ConcatDataset([dataset, subset])
    assert sum(order(DataLoader(both, 8, shuffle=False)), []) == [*range(40), 5, 6]
    first, second = data.random_split(dataset, [30, 10])
    assert len(first) == 30 and sorted(label for split in (first, second) for _, label in split) == list(range(40))


def test_pickled_datasets(url):
    dataset = pickle.loads(pickle.dumps(Dataset(url, ids=[3, 4], transform=Doubled(), verify_checksums=False)))
    assert [label for _, label in dataset] == [3, 4] and isinstance(dataset.transform, Doubled)
    assert forked(lambda: dataset[0])


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="there is no /proc here")
def test_a_worker_s_memory_does_not_grow_with_the_set(tmp_path):
    """Of its own, that is: pages of the store's files are the system's, and all workers'."""

    def at_the_end(dataset):
        loader = DataLoader(dataset, 256, num_workers=1, multiprocessing_context="spawn")
        seen = [int(kilobytes) for _, labels in loader for kilobytes in labels if kilobytes]
        assert len(seen) == len(dataset) // 1000
        return seen[-1]

    few, many = (made(tmp_path / f"{count}", count, height=2, width=2) for count in (1_000, 40_000))
    of_few, of_many = (at_the_end(Dataset(url, target_transform=Known.memory)) for url in (few, many))
    assert of_many - of_few < 1 << 10
    # 160 bytes an image would be seen.
    assert at_the_end(Hoarding(many, target_transform=Known.memory)) - of_few > 5 << 10
