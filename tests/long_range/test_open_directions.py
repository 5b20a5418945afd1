"""Slabs, wires and large clusters: sums over images, sums in real space, analytic limits."""

import itertools
import math

import pytest
import torch

from sognet.long_range import COULOMB_CONSTANT, FourierConvolution, SumOfGaussians
from sognet.long_range import plan as planning
from sognet.long_range.open_directions import periods_of, window_values

pytestmark = pytest.mark.usefixtures("double")
CELL = torch.tensor([[7.0, 0.4, 0.0], [1.0, 6.5, 0.0], [0.3, 0.2, 7.5]], dtype=torch.float64)
MIXED = [p for p in itertools.product((True, False), repeat=3) if any(p) and not all(p)]


def kernel_of(n_gaussians=2, cutoff=3.0, n_channels=1):
    return SumOfGaussians.power_law(exponent=1.0, cutoff=cutoff, n_gaussians=n_gaussians, n_channels=n_channels)


def structure(n=8, device="cpu", seed=0, neutral=False):
    torch.manual_seed(seed)
    latent, positions = torch.randn(n, 2), torch.rand(n, 3) @ CELL
    latent = latent - latent.mean(0) if neutral else latent
    return latent.to(device), positions.to(device)


def to_second_order(energy, positions, latent, kernel):
    """Energy, its gradients, and those of the squared forces."""
    inputs = [positions, latent, *kernel.parameters()]
    forces, *others = torch.autograd.grad(energy, inputs, create_graph=True)
    second = torch.autograd.grad(forces.square().sum(), inputs)
    return [x.detach().cpu() for x in (energy, forces, *others, *second)]


@pytest.mark.parametrize("method", ["direct", "separable", "mesh", "nufft"])
@pytest.mark.parametrize("pbc", MIXED)
def test_energy_and_derivatives_are_those_of_a_sum_over_images(pbc, method, device):
    kernel = kernel_of().to(device)
    latent, positions = (x.requires_grad_() for x in structure(device=device))
    images = [range(-5, 6) if p else (0,) for p in pbc]
    shifts = torch.tensor(list(itertools.product(*images)), dtype=torch.float64) @ CELL
    separations = positions[:, None, None] - positions[None, :, None] + shifts.to(device)
    interaction = kernel.at_squared_distance(separations.square().sum(3))[0].sum(2)
    wanted = to_second_order(0.5 * torch.einsum("ip,jp,ij->", latent, latent, interaction), positions, latent, kernel)
    tolerance = 1e-8 if method == "mesh" else 1e-10
    layer = FourierConvolution(kernel, tolerance=tolerance, method=method)
    energy = layer(latent, positions, CELL[None].to(device), torch.tensor([pbc], device=device)).sum()
    for found, expected in zip(to_second_order(energy, positions, latent, kernel), wanted, strict=True):
        assert (found - expected).abs().max() < 10 * tolerance * expected.abs().max()


@pytest.mark.parametrize("tolerance", [1e-4, 1e-6, 1e-10])
def test_gaussians_of_any_width_leave_forces_within_the_tolerance(tolerance, device, monkeypatch):
    """Twelve Gaussians, to 1 000 times the size of a cluster with a net charge, against its pair sum."""
    kernel = kernel_of(12, 5.0).to(device)
    latent, positions = structure(60, device)
    found = []
    for above in (0, 1000):
        monkeypatch.setattr(planning, "PAIRS_BELOW", above)
        moved = positions.clone().requires_grad_()
        layer = FourierConvolution(kernel, tolerance=tolerance, method="separable")
        no_cell, pbc = torch.zeros(1, 3, 3, device=device), torch.zeros(1, 3, dtype=torch.bool, device=device)
        energy = layer(latent, moved, no_cell, pbc).sum()
        found.append((energy.detach(), torch.autograd.grad(energy, moved)[0]))
    (energy, forces), (exact, exact_forces) = found
    assert (forces - exact_forces).norm() < tolerance * exact_forces.norm()
    assert (energy - exact).abs() < tolerance * exact.abs()


@pytest.mark.parametrize(("n_latent", "by_pairs"), [(1, False), (4, True)])
def test_large_clusters_leave_the_pair_sum_later_with_more_channels(n_latent, by_pairs):
    """Where the measurements at PAIRS_BELOW have modes ahead: 3 000 atoms with one channel, not with four."""
    positions, pbc = 40 * torch.rand(3000, 3), torch.zeros(1, 3, dtype=torch.bool)
    plan = FourierConvolution(kernel_of(), tolerance=1e-2).plan(torch.zeros(1, 3, 3), pbc, None, positions, n_latent)
    assert (plan.groups[0].method == "pairs") is by_pairs


@pytest.mark.parametrize("neutral", [False, True])
def test_a_slab_is_its_sum_over_the_plane(neutral, device):
    """Wide Gaussians, whose images are too many: in the plane by modes, across it by the Gaussian itself."""
    kernel = kernel_of(12, 5.0)
    latent, positions = structure(neutral=neutral)
    positions.requires_grad_()
    in_plane, bound = CELL[:2, :2], 10
    m = torch.arange(-bound, bound + 1.0)
    k = 2 * math.pi * torch.cartesian_prod(m, m) @ torch.linalg.inv(in_plane).T
    steps = positions[:, None] - positions
    phases = torch.cos(steps[..., :2] @ k.T)  # (n, n, K)
    s, w = kernel.bandwidths[0], kernel.weights[0] * kernel.bandwidths[0] / (2 * math.sqrt(math.pi))
    across = torch.exp(-steps[..., 2, None].square() * s.square() / 4)  # (n, n, L)
    modes = w[:, None] * torch.exp(-k.square().sum(1) / s.square()[:, None])  # (L, K)
    energy = 0.5 * torch.einsum("ip,jp,ijk,ijl,lk->", latent, latent, phases, across, modes)
    wanted = energy / torch.linalg.det(in_plane).abs()
    forces = torch.autograd.grad(wanted, positions)[0]
    layer = FourierConvolution(kernel, tolerance=1e-9).to(device)
    moved = positions.detach().to(device).requires_grad_()
    pbc = torch.tensor([[True, True, False]], device=device)
    found = layer(latent.to(device), moved, CELL[None].to(device), pbc).sum()
    assert found.item() == pytest.approx(wanted.item(), rel=1e-8)
    assert (torch.autograd.grad(found, moved)[0].cpu() - forces).norm() < 1e-8 * forces.norm()


@pytest.mark.parametrize("method", ["separable", "mesh", "nufft"])
def test_the_energy_of_a_net_charge_does_not_depend_on_the_period(method, device, monkeypatch):
    """Thousands of eV in the mode zero, which the period of a simulation scales when it takes a step."""
    latent, positions = structure(device=device)
    pbc = torch.tensor([[True, True, False]], device=device)
    energies = []
    for step in (1.0, 1.1):
        monkeypatch.setattr(planning, "periods_of", lambda extents, step=step: step * periods_of(extents))
        layer = FourierConvolution(kernel_of(12, 5.0).to(device), tolerance=1e-4, method=method)
        energies.append(layer(latent, positions, CELL[None].to(device), pbc).item())
    assert energies[0] > 1e4
    assert abs(energies[1] - energies[0]) < 1e-3


def test_charged_sheets_attract_by_their_field():
    """Two sheets of ±σ, e/Å²: a force of 2π C σ² per area at every distance, to the accuracy of the series for 1/r."""
    kernel, spacing, n = kernel_of(16, 3.0), 1.0, 4
    grid = spacing * torch.cartesian_prod(torch.arange(n), torch.arange(n)).double()
    for distance in (8.0, 25.0):
        positions = torch.cat([torch.nn.functional.pad(grid, (0, 1), value=z) for z in (0.0, distance)])
        latent = torch.cat([torch.ones(n * n, 1), -torch.ones(n * n, 1)])
        positions.requires_grad_()
        cell = torch.diag(torch.tensor([n * spacing, n * spacing, 0.0]))[None]
        layer = FourierConvolution(kernel, tolerance=1e-6)
        energy = layer(latent, positions, cell, torch.tensor([[True, True, False]])).sum()
        (gradient,) = torch.autograd.grad(energy, positions)
        attraction = gradient[n * n :, 2].sum() / (n * spacing) ** 2
        assert attraction.item() == pytest.approx(2 * math.pi * COULOMB_CONSTANT / spacing**4, rel=0.01)


@pytest.mark.parametrize("method", ["auto", "separable", "direct", "mesh"])
def test_a_batch_of_every_periodicity_is_its_structures(method, device):
    """Open vectors slanted, of no length or long, atoms outside of the cell; a plan made before they moved."""
    layer = FourierConvolution(kernel_of(6), method=method).to(device)
    parts = [(*structure(6 + i, device, seed=i), pbc) for i, pbc in enumerate([*MIXED, (True,) * 3, (False,) * 3])]
    cells = CELL.repeat(len(parts), 1, 1).to(device)
    cells[0, 2] = 0.0
    cells[1, 1] = torch.tensor([30.0, 40.0, 10.0])
    latent, positions = (torch.cat([part[i] for part in parts]) for i in (0, 1))
    positions[3:6] += CELL[0].to(device) * 5
    pbc = torch.tensor([part[2] for part in parts], device=device)
    sizes = torch.tensor([len(part[0]) for part in parts], device=device)
    batch = torch.repeat_interleave(torch.arange(len(parts), device=device), sizes)
    together = layer(latent, positions, cells, pbc, batch)
    singly = [
        layer(latent[batch == i], positions[batch == i], cells[i : i + 1], pbc[i : i + 1]) for i in range(len(parts))
    ]
    torch.testing.assert_close(together, torch.cat(singly), rtol=1e-5, atol=1e-4)
    plan = layer.plan(cells, pbc, batch, positions)
    assert plan.covers(positions)
    moved = positions + 0.1 * torch.rand_like(positions)
    assert plan.covers(moved)
    free = layer(latent, moved, cells, pbc, batch)
    torch.testing.assert_close(layer(latent, moved, cells, pbc, batch, plan), free, rtol=1e-5, atol=1e-4)
    moved[0, 2] += 50.0
    assert not plan.covers(moved)


def test_structures_without_atoms_and_plans_of_inference_mode():
    layer = FourierConvolution(kernel_of())
    latent, positions = structure()
    cells, pbc = CELL.repeat(3, 1, 1), torch.tensor([[True, True, False]] * 2 + [[False, True, False]])
    batch = torch.tensor([0] * 5 + [2] * 3)
    with torch.inference_mode():
        plan = layer.plan(cells, pbc, batch, positions)
    energies = layer(latent, positions, cells, pbc, batch, plan)
    energies.sum().backward()
    assert energies[1] == 0
    alone = layer(latent[:5], positions[:5], CELL[None], pbc[:1])
    torch.testing.assert_close(energies[:1], alone)
    assert layer(latent[:0], positions[:0], CELL[None], pbc[:1]).tolist() == [0.0]


def test_an_atom_far_away_costs_no_more_than_its_modes(device):
    """Evaporated, 500 Å from a slab: nothing grows with the square of the number of modes."""
    layer = FourierConvolution(kernel_of(cutoff=5.0), tolerance=1e-6, method="nufft").to(device)
    latent, positions = structure(device=device)
    pbc, cell = torch.tensor([[True, True, False]], device=device), CELL[None].to(device)
    far = positions[:1] + torch.tensor([0.0, 0.0, 500.0], device=device)
    together = layer(torch.cat([latent, latent[:1]]), torch.cat([positions, far]), cell, pbc)
    singly = layer(latent, positions, cell, pbc) + layer(latent[:1], far, cell, pbc)
    torch.testing.assert_close(together, singly, rtol=1e-6, atol=1e-6)
    n_modes = 20_000
    assert window_values(n_modes, 1e-6).numel() < 3 * n_modes


def test_stress_of_the_periodic_directions(device):
    """The derivative by a strain of a slab's plane, with the cell fixed and not, against finite differences."""
    layer = FourierConvolution(kernel_of(4), tolerance=1e-9).to(device)
    latent, positions = structure(device=device)
    pbc = torch.tensor([[True, True, False]], device=device)
    cell = CELL[None].to(device)

    def energy(strain):
        deformation = torch.eye(3, device=device) + strain
        return layer(latent, positions @ deformation, cell @ deformation, pbc).sum()

    strain = torch.zeros(3, 3, device=device, requires_grad=True)
    (gradient,) = torch.autograd.grad(energy(strain), strain)
    for i, j in itertools.product(range(2), range(2)):
        step = torch.zeros(3, 3, device=device)
        step[i, j] = 1e-4
        slope = (energy(step) - energy(-step)) / 2e-4
        assert gradient[i, j].item() == pytest.approx(slope.item(), rel=1e-5, abs=1e-5)


def test_a_slab_compiles_and_trains(device):
    layer = FourierConvolution(kernel_of(4), method="separable").to(device)
    latent, positions = structure(device=device)
    cell, pbc = CELL[None].to(device), torch.tensor([[True, False, True]], device=device)
    plan = layer.plan(cell, pbc, None, positions)

    def forces(moved):
        return torch.func.grad(lambda x: layer(latent, x, cell, pbc, None, plan).sum())(moved)

    found = []
    for function in (forces, torch.compile(forces, fullgraph=True, backend="aot_eager")):
        layer.zero_grad()
        value = function(positions)
        value.square().sum().backward()
        found.append([value, *(p.grad.clone() for p in layer.parameters())])
    for compiled, eager in zip(*found, strict=True):
        torch.testing.assert_close(compiled, eager, rtol=1e-10, atol=1e-10)


def test_single_precision(device):
    found = []
    for dtype in (torch.float32, torch.float64):
        layer = FourierConvolution(kernel_of(12, 5.0)).to(device, dtype)
        latent, positions = (x.to(dtype) for x in structure(device=device, neutral=True))
        positions.requires_grad_()
        pbc = torch.tensor([[True, True, False]], device=device)
        energy = layer(latent, positions, CELL[None].to(device, dtype), pbc).sum()
        found.append(torch.autograd.grad(energy, positions)[0].double())
    assert (found[0] - found[1]).norm() < 1e-4 * found[1].norm()


def test_what_cannot_be_planned_is_refused():
    latent, positions = structure()
    layer, pbc = FourierConvolution(kernel_of()), torch.tensor([[True, True, False]])
    batch = torch.zeros(len(latent), dtype=torch.long)
    with pytest.raises(ValueError, match="give `positions`"):
        layer.plan(CELL[None], pbc, batch)
    with pytest.raises(ValueError, match="structure 0 has positions that are not finite"):
        layer(latent, positions * torch.nan, CELL[None], pbc)
    flat = CELL.clone()
    flat[1] = 2 * flat[0]
    with pytest.raises(ValueError, match="structure 0 is periodic but its cell has no extent there"):
        layer(latent, positions, flat[None], pbc)
