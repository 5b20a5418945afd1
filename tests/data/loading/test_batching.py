"""The plan of an epoch: every structure once, within the limits, the same work for every rank, the same gradient."""

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from fake_trainer import FakeTrainer
from structures import labelled_atoms, small_model
from torch.utils.data.distributed import DistributedSampler

from sognet.data import Keys, Splits, Stage, Structure, StructureDataModule
from sognet.data.loading.batching import BatchPlan, Limit, consecutive, share_out, shuffled
from sognet.data.loading.loader import GraphDataset, PlannedGraphs
from sognet.errors import InputError
from sognet.training.loss import PotentialLoss

SIZES = np.random.default_rng(0).integers(1, 40, 103)
EDGES = np.random.default_rng(1).integers(0, 900, 103)
WHOLE = np.array([0, 103])

BY_STRUCTURES = [Limit("structures", np.ones(103, dtype=int), 4)]
BY_ATOMS = [Limit("atoms", SIZES, 60)]
BY_ALL = [*BY_STRUCTURES, *BY_ATOMS, Limit("edges", EDGES, 1000)]
ONE_BY_ONE = [Limit("atoms", np.full(103, 40), 40)]


def plan(limits, ranks=1, rank=0, accumulate=1, seed=0):
    order = partial(shuffled, seed, n_atoms=SIZES, blocks=WHOLE)
    return BatchPlan(order, SIZES, limits, ranks, rank, accumulate)


def by_rank(limits, ranks, accumulate=1):
    plans = [plan(limits, ranks, rank, accumulate) for rank in range(ranks)]
    return [list(p) for p in plans], [len(p) for p in plans]


@pytest.mark.parametrize("limits", [BY_STRUCTURES, BY_ATOMS, BY_ALL, ONE_BY_ONE])
@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_every_structure_is_in_one_batch_of_one_rank(limits, ranks):
    batches, lengths = by_rank(limits, ranks)
    assert {len(b) for b in batches} == set(lengths) == {lengths[0]}
    seen = [i for of_rank in batches for batch in of_rank if batch.weight > 0 for i in batch.structures]
    assert sorted(seen) == list(range(103))
    for batch in (b for of_rank in batches for b in of_rank):
        assert len(batch.structures) > 0
        for limit in limits:
            assert limit.counts[list(batch.structures)].sum() <= limit.most


@pytest.mark.parametrize("limits", [BY_STRUCTURES, BY_ATOMS, BY_ALL, ONE_BY_ONE])
@pytest.mark.parametrize(("ranks", "accumulate"), [(1, 1), (2, 1), (3, 4), (8, 2)])
def test_weights_make_the_mean_over_ranks_that_over_structures(limits, ranks, accumulate):
    """For every optimizer step: what Lightning averages, against the mean over all structures of the step."""
    losses = np.random.default_rng(2).normal(size=103)
    batches, (n_batches, *_) = by_rank(limits, ranks, accumulate)
    for first in range(0, n_batches, accumulate):
        together = [b for of_rank in batches for b in of_rank[first : first + accumulate]]
        averaged = sum(b.weight * losses[list(b.structures)].mean() for b in together) / (ranks * accumulate)
        members = [i for b in together if b.weight > 0 for i in b.structures]
        assert averaged == pytest.approx(losses[members].mean())


def test_one_process_with_full_batches_has_weights_of_exactly_one():
    assert {b.weight for b in plan(BY_ATOMS)} == {1.0}


def test_ranks_have_about_the_same_work():
    """Sizes over two decades: without balancing, the larger of two random halves does 1.2 times its share."""
    sizes = np.random.default_rng(3).geometric(0.02, 4000)
    limits = [Limit("structures", np.ones(4000, dtype=int), 16)]
    order = partial(shuffled, 0, n_atoms=sizes, blocks=np.array([0, 4000]))
    plans = [BatchPlan(order, sizes, limits, 4, rank) for rank in range(4)]
    work = np.array([[sizes[list(b.structures)].sum() for b in p] for p in plans])  # (ranks, steps)
    assert (work.max(0) / work.mean(0)).mean() < 1.02


def test_order_depends_on_seed_and_epoch_only():
    first, again, other = plan(BY_ALL), plan(BY_ALL), plan(BY_ALL, seed=7)
    batches = list(first)
    assert batches == list(again) == list(first)
    assert batches != list(other)
    first.set_epoch(1)
    assert list(first) != batches
    again.set_epoch(1)
    assert list(first) == list(again)


def test_order_within_one_window_is_that_of_torch():
    sampler = DistributedSampler(range(103), 1, 0, shuffle=True, seed=5)
    sampler.set_epoch(3)
    assert list(sampler) == shuffled(5, 3, SIZES, WHOLE).tolist()


@pytest.mark.parametrize("window", [50, 300, 100_000])
def test_windows_hold_few_blocks_and_every_structure_once(window):
    blocks = np.arange(0, 104, 4)
    blocks[-1] = 103
    order = shuffled(0, 2, SIZES, blocks, window)
    assert sorted(order) == list(range(103))
    assert not np.array_equal(order, shuffled(0, 3, SIZES, blocks, window))
    block_of = np.searchsorted(blocks, order, "right") - 1
    span = [np.ptp(np.flatnonzero(block_of == b)) for b in range(len(blocks) - 1)]
    atoms = [SIZES[order[start : start + s + 1]].sum() for start, s in zip(first_of(block_of), span, strict=True)]
    assert max(atoms) <= window + 2 * 4 * SIZES.max()
    if window == 300:
        assert np.mean(np.diff(order) == 1) < 0.1


def first_of(block_of):
    return [int(np.flatnonzero(block_of == b)[0]) for b in range(block_of.max() + 1)]


def test_a_plan_goes_on_where_it_was():
    whole, rest = plan(BY_ALL, 2, 1), plan(BY_ALL, 2, 1)
    for p in (whole, rest):
        p.set_epoch(4)
    rest.start = 5
    assert list(rest) == list(whole)[5:]
    assert len(rest) == len(whole)
    rest.set_epoch(5)
    assert len(list(rest)) == len(rest)


def test_batches_are_filled():
    bounds = consecutive(np.arange(103), BY_ATOMS)
    for start, stop in pairwise(bounds[:-1]):
        assert SIZES[start:stop].sum() <= 60 < SIZES[start : stop + 1].sum()


def test_sharing_out_says_where_it_cannot():
    sizes = np.array([3, 3, 2, 2, 2])
    assert share_out(np.arange(5), sizes, [Limit("atoms", sizes, 6)], 2) is None
    parts = share_out(np.arange(5), sizes, [Limit("atoms", sizes, 7)], 2)
    assert sorted(np.concatenate(parts)) == list(range(5))


@pytest.fixture
def structures():
    return [Structure.from_atoms(labelled_atoms(4 + i % 9, seed=i), Keys(), f"frame {i}") for i in range(23)]


def test_stages_and_limits_hold_together(structures):
    module = StructureDataModule(
        Splits("s", structures), 3.0, max_atoms=40, max_edges=2000, stages=[Stage(2, 3), Stage(4, 6)]
    )
    assert module.reload_every_n_epochs == 1
    for epoch, most in ((0, 2), (3, 4)):
        module.trainer = FakeTrainer(epoch)
        batches = list(module.train_dataloader())
        assert max(b.num_graphs for b in batches) == most
        assert max(b.num_nodes for b in batches) <= 40
        assert max(b.num_edges for b in batches) <= 2000
        assert sorted(i for b in batches for i in b.id.tolist()) == list(range(23))


@pytest.mark.parametrize(("n_atoms", "expected"), [(4, 16), (28, 2), (40, 2), (64, 1), (500, 1)])
def test_small_structures_share_a_step_by_default(n_atoms, expected):
    structures = [Structure.from_atoms(labelled_atoms(n_atoms, seed=s), Keys(), f"frame {s}") for s in range(20)]
    module = StructureDataModule(Splits("made", structures), 4.0, batch_size="auto", num_workers=0)
    assert module.stage_batch_size(0) == expected
    assert next(iter(module.train_dataloader())).num_graphs == expected


def test_limits_of_ones_own_decide_alone(structures):
    module = StructureDataModule(Splits("made", structures), 4.0, batch_size="auto", max_atoms=40, num_workers=0)
    assert module.stage_batch_size(0) is None
    with pytest.raises(InputError, match="batch_size must be a number of structures, auto or null, got 'many'"):
        StructureDataModule(Splits("made", structures), 4.0, batch_size="many")


def test_impossible_limits_are_refused(structures):
    splits = Splits("s", structures)
    with pytest.raises(InputError, match=r"frame 8: .*batch\.max_atoms=10"):
        StructureDataModule(splits, 3.0, max_atoms=10).train_dataloader()
    with pytest.raises(InputError, match=r"batch\.max_edges"):
        StructureDataModule(splits, 3.0, max_edges=5).train_dataloader()
    with pytest.raises(InputError, match=r"batch\.batch_size"):
        StructureDataModule(splits, 3.0, batch_size=None)


@pytest.mark.usefixtures("double")
def test_gradient_of_two_ranks_is_that_of_one(structures):
    """Batches by atoms hold unequal numbers of structures."""
    model, loss = small_model(n_latent=1), PotentialLoss(1.0, 10.0)
    graphs = PlannedGraphs(GraphDataset(structures, 4.0))
    sizes = graphs.graphs.contents.n_atoms

    def gradient(*planned):
        model.zero_grad()
        for batch in (graphs[p] for p in planned):
            (loss(model(batch, stress=False), batch)["loss"] * batch.weight.squeeze() / len(planned)).backward()
        return np.concatenate([p.grad.flatten().numpy() for p in model.parameters() if p.grad is not None])

    def plans(limit, ranks):
        order = partial(shuffled, 0, n_atoms=sizes, blocks=np.array([0, 23]))
        return [BatchPlan(order, sizes, [Limit("atoms", sizes, limit)], ranks, rank) for rank in range(ranks)]

    (whole,) = list(plans(1000, 1)[0])
    one, two = (list(p) for p in plans(100, 2))
    assert len(one) == len(two) == 1
    assert len(one[0].structures) != len(two[0].structures)
    np.testing.assert_allclose(gradient(one[0], two[0]), gradient(whole), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("batches", [0, 1])
def test_overfitting_takes_the_same_batches_in_every_epoch(structures, batches):
    module = StructureDataModule(Splits("s", structures), 3.0)
    taken = []
    for epoch in range(2):
        module.trainer = FakeTrainer(epoch)
        module.trainer.overfit_batches = batches
        taken.append([batch.structures for batch in module.train_dataloader().sampler])
    assert (taken[0] == taken[1]) == bool(batches)
