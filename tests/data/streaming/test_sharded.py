"""Streaming: every structure once over ranks and workers, in bounded memory, from folders and object stores."""

import pickle
import tracemalloc

import fsspec
import numpy as np
import pyarrow
import pytest
import torch
from fake_trainer import FakeTrainer
from structures import labelled_atoms

from sognet.data import Keys, Splits, Structure, StructureDataModule, stream
from sognet.data.streaming.preparation import prepare
from sognet.errors import InputError


@pytest.fixture(scope="module")
def splits():
    structures = [Structure.from_atoms(labelled_atoms(4 + i % 5, seed=i), Keys(), f"frame {i}") for i in range(103)]
    return Splits("mine", structures, structures[:7])


@pytest.fixture(scope="module")
def folder(splits, tmp_path_factory):
    path = tmp_path_factory.mktemp("prepared")
    prepare(splits, path, shard_atoms=150, block_atoms=30)
    return path


def ids(batches):
    return [b.id.tolist() for b in batches if bool(b.counted.all())]


@pytest.mark.parametrize("limits", [{"batch_size": 4}, {"batch_size": None, "max_atoms": 20}])
def test_two_ranks_with_two_workers_see_every_structure_once(folder, limits):
    seen, lengths = [], set()
    for rank in range(2):
        module = StructureDataModule(stream(str(folder), shuffle_atoms=200), 3.0, num_workers=2, **limits)
        module.trainer = FakeTrainer(epoch=3, ranks=2, rank=rank)
        loader = module.train_dataloader()
        batches = list(loader)
        lengths |= {len(batches), len(loader)}
        seen += [i for b in ids(batches) for i in b]
    assert sorted(seen) == list(range(103))
    assert len(lengths) == 1


def test_validation_counts_every_structure_once_on_any_number_of_ranks(folder):
    for ranks in (1, 2, 8):
        seen = []
        for rank in range(ranks):
            module = StructureDataModule(stream(str(folder)), 3.0, eval_batch_size=2, num_workers=0)
            module.trainer = FakeTrainer(0, ranks, rank)
            seen += [i for b in ids(module.val_dataloader()) for i in b]
        assert sorted(seen) == list(range(7))


def test_an_epoch_goes_on_with_the_next_batch(folder):
    def loader(epoch=2):
        module = StructureDataModule(stream(str(folder), shuffle_atoms=200), 3.0, batch_size=4, num_workers=2)
        module.trainer = FakeTrainer(epoch)
        return module.train_dataloader()

    whole = ids(loader())
    interrupted = loader()
    first = [b.id.tolist() for b, _ in zip(interrupted, range(9), strict=False)]
    state = interrupted.state_dict()  # nine were taken, more are being built by the workers
    state["batches"] = 9
    resumed = loader()
    resumed.load_state_dict(state)
    assert first + ids(resumed) == whole
    assert resumed.state_dict() == {"epoch": 2, "batches": len(whole)}
    later = loader(epoch=3)
    later.load_state_dict(state)
    assert len(ids(later)) == len(whole)


def test_the_state_counts_the_batches_that_were_taken(folder):
    module = StructureDataModule(stream(str(folder)), 3.0, batch_size=4, num_workers=2)
    loader = module.train_dataloader()
    batches = iter(loader)
    for taken in range(1, 4):
        next(batches)
        assert loader.state_dict() == {"epoch": 0, "batches": taken}


def test_streamed_batches_are_those_from_memory(splits, folder):
    """A set within the window has the same order; float64 comes back bit by bit."""
    loaders = [
        StructureDataModule(s, 3.0, batch_size=4, num_workers=0, seed=1).train_dataloader()
        for s in (splits, stream(str(folder)))
    ]
    for a, b in zip(*loaders, strict=True):
        assert a.keys() == b.keys()
        for key in a.to_dict():
            assert torch.equal(a[key], b[key]), key


def test_every_block_is_read_once_in_an_epoch_and_few_are_held(folder, monkeypatch):
    from sognet.data.streaming import shards

    reads, read_block = [], shards.read_block
    monkeypatch.setattr(shards, "read_block", lambda *block: reads.append(block) or read_block(*block))
    structures = stream(str(folder), shuffle_atoms=200).train
    module = StructureDataModule(Splits("s", structures), 3.0, batch_size=4, num_workers=0)
    held = [sum(map(len, structures._held.values())) for _ in module.train_dataloader()]
    assert len(reads) == len(set(reads)) == len(structures.blocks) - 1
    assert max(held) < 103 * 0.75
    assert len(pickle.loads(pickle.dumps(structures))._held) == 0


def test_slices_and_numbers_are_those_of_a_list(splits, folder):
    structures = stream(str(folder)).train
    for part in (slice(None, None, 10), slice(-3, None), slice(5, 2)):
        assert [s.source for s in structures[part]] == [s.source for s in splits.train[part]]
    assert structures[-1].source == "frame 102"
    with pytest.raises(IndexError):
        structures[103]


def test_shards_of_an_object_store_are_fetched_when_they_are_needed(folder, tmp_path):
    store = fsspec.filesystem("memory")
    store.put(str(folder), "/bucket/set", recursive=True)
    splits = stream("memory://bucket/set", cache=str(tmp_path))
    (cache,) = tmp_path.iterdir()
    assert not list(cache.glob("train-0*"))
    assert splits.train[0].source == "frame 0"
    assert [f.name for f in cache.glob("train-0*")] == ["train-00000.parquet"]
    store.rm("/bucket/set/train-00000.parquet")
    assert stream("memory://bucket/set", cache=str(tmp_path)).train[1].source == "frame 1"
    store.rm("/bucket/set/train-00001.parquet")
    with pytest.raises(InputError, match=r"train-00001\.parquet: cannot be fetched"):
        list(stream("memory://bucket/set", cache=str(tmp_path)).train)
    with pytest.raises(InputError, match=r"nowhere/index\.json: cannot be read"):
        stream("memory://nowhere")
    with pytest.raises(InputError, match=r"dataset\.path"):
        stream(None)


def test_memory_does_not_grow_with_the_data_set(tmp_path):
    """Ten times the structures, 7 MB in memory, and no more bytes in use by Python, NumPy and Arrow."""
    atoms = [Structure.from_atoms(labelled_atoms(50, seed=i), Keys(), "frame") for i in range(20)]
    most = {}
    for n in (300, 3_000):
        prepare(Splits("s", Repeated(atoms, n)), tmp_path / str(n), block_atoms=1_000)
        tracemalloc.start()
        structures = stream(str(tmp_path / str(n)), shuffle_atoms=6_000).train
        order = StructureDataModule(Splits("s", structures), 3.0, num_workers=0).train_dataloader().sampler.order
        used = []
        for number in order:
            assert len(structures[number]) == 50
            if number % 50 == 0:
                used.append(tracemalloc.get_traced_memory()[0] + pyarrow.total_allocated_bytes())
        tracemalloc.stop()
        most[n] = max(used)
    assert most[300] < 2e6
    assert most[3_000] - most[300] < 1e6


class Repeated:
    """A long sequence that takes no memory."""

    def __init__(self, members, n):
        self.members, self.n = members, n

    def __len__(self):
        return self.n

    def __iter__(self):
        return (self[i] for i in range(self.n))

    def __getitem__(self, number):
        return self.members[number % len(self.members)]


def test_sources_of_order(folder):
    orders = [StructureDataModule(stream(str(folder)), 3.0, seed=s).train_dataloader().sampler.order for s in (0, 0, 1)]
    np.testing.assert_array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])
