"""One large cluster does not make small ones of its batch as expensive as itself."""

import pytest
import torch

from sognet.long_range import FourierConvolution, SumOfGaussians
from sognet.long_range.plan import PAIRS_TOGETHER


@pytest.fixture
def layer(device):
    return FourierConvolution(SumOfGaussians.power_law(1.0, 4.0, n_gaussians=4)).to(device)


def clusters(sizes, device):
    generator = torch.Generator().manual_seed(0)
    positions = [torch.rand(n, 3, generator=generator, dtype=torch.float64) * n ** (1 / 3) * 2.0 for n in sizes]
    latent = [torch.randn(n, 1, generator=generator, dtype=torch.float64) for n in sizes]
    batch = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    cell, pbc = torch.zeros(len(sizes), 3, 3, dtype=torch.float64), torch.zeros(len(sizes), 3, dtype=torch.bool)
    latent, positions = ([x.to(device) for x in values] for values in (latent, positions))
    return latent, positions, cell.to(device), pbc.to(device), batch.to(device)


@pytest.mark.parametrize("sizes", [[1, 700, *[2, 3] * 7], [600, *[5, 40, 7] * 4, 500]])
def test_padding_is_a_small_part_of_the_pairs(layer, sizes, device):
    latent, positions, cell, pbc, batch = clusters(sizes, device)
    plan = layer.plan(cell, pbc, batch, torch.cat(positions), 1)
    padded = sum(group.atoms.shape[0] * group.atoms.shape[1] ** 2 for group in plan.groups)
    assert padded <= 4 * sum(n**2 for n in sizes) + PAIRS_TOGETHER
    together = layer.double()(torch.cat(latent), torch.cat(positions), cell, pbc, batch)
    alone = [layer(q, x, cell[:1], pbc[:1]) for q, x in zip(latent, positions, strict=True)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-10, atol=1e-10)


def test_small_clusters_are_one_group(layer, device):
    _, positions, cell, pbc, batch = clusters([1, 20, 60, 4], device)
    assert len(layer.plan(cell, pbc, batch, torch.cat(positions), 1).groups) == 1
