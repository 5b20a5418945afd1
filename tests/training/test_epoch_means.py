"""Means over an epoch weigh batches by their structures, over all ranks."""

import pytest
import torch

from sognet.training.epoch_means import EpochMeans


def test_means_are_those_over_structures():
    means = EpochMeans()
    values = torch.tensor([1.0, 2.0, 6.0, 7.0, 11.0])
    for part in values.split(2):
        means.add({"loss": part.mean().requires_grad_()}, len(part))
    means.add({"loss": torch.tensor(3.0), "kernel": torch.tensor(5.0)}, 5)
    found = means.compute(lambda sums: sums)
    assert found["loss"].item() == pytest.approx((values.sum().item() + 15.0) / 10)
    assert found["kernel"].item() == 5.0
    assert not found["loss"].requires_grad
    assert EpochMeans().compute(lambda sums: sums) == {}


def test_ranks_add_up_their_sums():
    ranks = [EpochMeans(), EpochMeans()]
    ranks[0].add({"loss": torch.tensor(1.0)}, 3)
    ranks[1].add({"loss": torch.tensor(5.0)}, 1)
    sums = []
    for rank in ranks:
        rank.compute(lambda own: sums.append(own) or own)
    assert ranks[0].compute(lambda own: sums[0] + sums[1])["loss"].item() == 2.0
