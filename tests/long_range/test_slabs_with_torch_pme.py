"""Slabs of fixed charges with the 1/r start against torch-pme, whose slab correction (Yeh and Berkowitz, J. Chem. Phys.
111, 3155 (1999)) needs vacuum.
"""

import math

import pytest
import torch
import torchpme
from torch.autograd import grad
from vesin import NeighborList

from sognet.long_range import COULOMB_CONSTANT, FourierConvolution, SumOfGaussians

pytestmark = pytest.mark.usefixtures("double")
LENGTH, CUTOFF = 12.0, 4.0
PERIODIC = torch.tensor([True, True, False])


def dipolar_slab():
    """Eight layers of 16 molecules of ±0.4 e, 1.2 Å long, that all point upwards: charges (N,1), positions (N,3)."""
    torch.manual_seed(0)
    grid = torch.cartesian_prod(torch.arange(4.0), torch.arange(4.0), torch.arange(8.0))
    tails = grid * torch.tensor([3.0, 3.0, 2.8])
    positions = torch.cat([tails, tails + torch.tensor([0.0, 0.0, 1.2])]) + 0.2 * torch.randn(256, 3)
    return torch.tensor([-0.4, 0.4]).repeat_interleave(128)[:, None], positions


def charged_sheets():
    """Two sheets of ±1 e every 3 Å, 20 Å apart."""
    grid = 3.0 * torch.cartesian_prod(torch.arange(4.0), torch.arange(4.0))
    positions = torch.cat([torch.nn.functional.pad(grid, (0, 1), value=z) for z in (0.0, 20.0)])
    return torch.tensor([1.0, -1.0]).repeat_interleave(16)[:, None], positions


def cell_of(height):
    return torch.diag(torch.tensor([LENGTH, LENGTH, height]))


def pairs(positions, cell, within):
    neighbours = NeighborList(cutoff=within, full_list=False)
    i, j, shift = neighbours.compute(
        positions.detach().numpy(), cell.numpy(), periodic=[True, True, False], quantities="ijS"
    )
    i, j = torch.tensor(i.astype(int)), torch.tensor(j.astype(int))
    return i, j, (positions[j] - positions[i] + torch.tensor(shift).double() @ cell).norm(dim=1)


def ours(charges, positions, height, base, device):
    """The layer, and the short-range remainder of 1/r: energy and forces."""
    positions = positions.clone().requires_grad_()
    kernel = SumOfGaussians.power_law(cutoff=CUTOFF, n_gaussians=math.ceil(10 / math.log(base)), base=base)
    i, j, r = pairs(positions, cell_of(height), CUTOFF)
    remainder = (charges[i, 0] * charges[j, 0] * (COULOMB_CONSTANT / r - kernel(r)[0])).sum()
    layer = FourierConvolution(kernel, tolerance=1e-5, remove_self_interaction=True).to(device)
    moved = [x.to(device) for x in (charges, positions, cell_of(height)[None], PERIODIC[None])]
    energy = layer(*moved).sum().cpu() + remainder
    return energy.detach(), -grad(energy, positions)[0]


def theirs(charges, positions, height):
    positions = positions.clone().requires_grad_()
    i, j, r = pairs(positions, cell_of(height), 9.0)
    ewald = torchpme.EwaldCalculator(torchpme.CoulombPotential(smearing=1.6), lr_wavelength=1.0).double()
    potential = ewald(charges, cell_of(height), positions, torch.stack([i, j], 1), r, PERIODIC)
    energy = COULOMB_CONSTANT * (charges * potential).sum()
    return energy.detach(), -grad(energy, positions)[0]


@pytest.mark.parametrize("slab", [dipolar_slab, charged_sheets])
@pytest.mark.parametrize("base", [1.63, 2.0])
def test_energy_and_forces_are_those_of_torch_pme_whatever_the_vacuum(slab, base, device):
    charges, positions = slab()
    energy, forces = ours(charges, positions, 40.0, base, device)
    expected, expected_forces = theirs(charges, positions, 100.0)
    assert theirs(charges, positions, 70.0)[0].item() == pytest.approx(expected.item(), rel=1e-8)
    assert energy.item() == pytest.approx(expected.item(), rel=0.01)
    assert (forces - expected_forces).norm() < 0.01 * expected_forces.norm()
    higher, higher_forces = ours(charges, positions, 90.0, base, device)
    assert higher.item() == pytest.approx(energy.item(), rel=1e-10)
    torch.testing.assert_close(higher_forces, forces, rtol=1e-8, atol=1e-8)
