"""Kernels of pairs of species: sums over images, the usual layer at the start, what one kernel cannot describe."""

import itertools

import pytest
import torch
from reference import TRICLINIC, salt
from torch.autograd import grad

from sognet.long_range import FourierConvolution, SumOfGaussians, power_law_convolution
from sognet.long_range.species_pairs import kernel_of_pairs, n_pairs

pytestmark = pytest.mark.usefixtures("double")
METHODS = ("direct", "separable", "mesh", "nufft")
PBC = list(itertools.product((True, False), repeat=3))
N_SPECIES = 3


def different(kernel):
    """The kernel with another strength and width of every Gaussian."""
    with torch.no_grad():
        kernel.relative_weights.mul_(1 + 0.5 * torch.randn_like(kernel.relative_weights))
        kernel.bandwidth_shift.add_(0.2 * torch.randn_like(kernel.bandwidth_shift))
    return kernel


def in_columns(latent, species, n_species=N_SPECIES):
    """(N, P) -> (N, P·S)."""
    own = torch.nn.functional.one_hot(species, n_species).to(latent)
    return torch.einsum("np,ns->nps", latent, own).flatten(1)


def matrix_of(kernels, n_species=N_SPECIES):
    """Kernels (P·pairs, ...) as symmetric matrices (P, S, S, ...)."""
    rows = kernels.unflatten(0, (-1, n_pairs(n_species)))
    found = rows.new_zeros(len(rows), n_species, n_species, *kernels.shape[1:])
    for number, (a, b) in enumerate(itertools.combinations_with_replacement(range(n_species), 2)):
        found[:, a, b] = found[:, b, a] = rows[:, number]
    return found


def sum_over_images(kernel, latent, positions, species, cell, pbc, reach=6):
    """½ Σ_ij q_i q_j g_ab(r_ij) over images, less what a background takes off where all directions are periodic."""
    shifts = torch.tensor(list(itertools.product(*[range(-reach, reach + 1) if p else (0,) for p in pbc]))).double()
    separations = positions[:, None, None] - positions[None, :, None] + (shifts @ cell.cpu()).to(positions)
    g = matrix_of(kernel.at_squared_distance(separations.square().sum(3)).sum(3))  # (P, S, S, n, n)
    atoms = torch.arange(len(species))
    g = g[:, species[:, None], species[None], atoms[:, None], atoms[None]].expand(latent.shape[1], -1, -1)
    energy = 0.5 * torch.einsum("ip,jp,pij->", latent, latent, g)
    if all(pbc):
        sums = in_columns(latent, species).sum(0).unflatten(0, (-1, N_SPECIES))  # (P, S)
        at_zero = matrix_of(kernel.multiplier(latent.new_zeros(1))[:, 0]).expand(len(sums), -1, -1)
        energy = energy - torch.einsum("pa,pb,pab->", sums, sums, at_zero) / (2 * torch.linalg.det(cell).abs())
    return energy


def to_second_order(energy, inputs):
    """Energy, its gradients, and those of the squared forces."""
    forces, *others = grad(energy, inputs, create_graph=True)
    return [x.detach() for x in (energy, forces, *others, *grad(forces.square().sum(), inputs))]


@pytest.mark.parametrize("own_kernels", [False, True])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("pbc", PBC)
def test_energy_and_derivatives_are_those_of_a_sum_over_images(pbc, method, own_kernels, device):
    n_channels = 2 if own_kernels else 1
    start = SumOfGaussians.power_law(cutoff=3.0, n_gaussians=2, n_channels=n_channels)
    kernel = different(kernel_of_pairs(start, N_SPECIES)).to(device)
    latent, positions, cell = salt(9, 2, device=device)
    latent, positions = latent.requires_grad_(), positions.requires_grad_()
    species = torch.arange(9, device=device) % N_SPECIES
    inputs = [positions, latent, *kernel.parameters()]
    wanted = to_second_order(sum_over_images(kernel, latent, positions, species, cell[0], pbc), inputs)
    tolerance = 1e-8 if method == "mesh" else 1e-10
    layer = FourierConvolution(kernel, tolerance=tolerance, method=method, n_species=N_SPECIES).to(device)
    energy = layer(in_columns(latent, species), positions, cell, torch.tensor([pbc], device=device)).sum()
    for found, expected in zip(to_second_order(energy, inputs), wanted, strict=True):
        assert (found - expected).abs().max() < 20 * tolerance * expected.abs().max()


@pytest.mark.parametrize("method", ["auto", *METHODS])
@pytest.mark.parametrize("zero_mode", [False, [False, True]])
def test_it_starts_as_the_layer_of_one_kernel(method, zero_mode, device):
    """Of cells, a slab and a cluster in one batch, without self-interaction, forces and stress included."""
    settings = {"cutoff": 4.0, "tolerance": 1e-9, "method": method, "include_zero_mode": zero_mode}
    settings["remove_self_interaction"] = True
    cells = torch.tensor(TRICLINIC).repeat(3, 1, 1).to(device).requires_grad_()
    pbc = torch.tensor([[True] * 3, [True, True, False], [False] * 3], device=device)
    batch = torch.arange(3, device=device).repeat_interleave(torch.tensor([12, 7, 5], device=device))
    latent, positions, _ = salt(24, 2, device=device)
    latent, positions = latent.requires_grad_(), positions.requires_grad_()
    found = []
    for n_species in (1, N_SPECIES):
        layer = power_law_convolution(**settings, n_species=n_species).to(device)
        species = torch.arange(24, device=device) % n_species
        energies = layer(in_columns(latent, species, n_species), positions, cells, pbc, batch)
        found.append([energies, *grad(energies.sum(), (latent, positions, cells))])
    for one, other in zip(*found, strict=True):
        assert (one - other).abs().max() < 1e-8 * one.abs().max()


def test_the_matrix_is_symmetric_whatever_it_learns(device):
    """Two atoms feel each other alike, and species may be numbered otherwise."""
    layer = FourierConvolution(different(SumOfGaussians.power_law(n_channels=3)), n_species=2).to(device)
    latent, positions, cell = salt(10, device=device)
    positions.requires_grad_()
    species = torch.arange(10, device=device) % 2
    energy = layer(in_columns(latent, species, 2), positions, cell)
    assert grad(energy.sum(), positions)[0].sum(0).abs().max() < 1e-8
    with torch.no_grad():
        for parameter in layer.kernel.parameters():
            parameter.copy_(parameter.flip(0))  # AA, AB, BB
    torch.testing.assert_close(layer(in_columns(latent, 1 - species, 2), positions, cell), energy)


def test_interactions_that_differ_by_pair_are_learned_where_one_kernel_cannot(device):
    """A repels A and B repels B as 1/r, and A hardly attracts B: no product of charges of A and B."""
    positions = [5 * torch.rand(12, 3, device=device) for _ in range(12)]
    species = torch.arange(12, device=device) % 2
    factors = torch.tensor([[1.0, -0.1], [-0.1, 1.0]], device=device)[species[:, None], species]

    def target(r):
        distance = (r[:, None] - r).norm(dim=2) + 9e9 * torch.eye(12, device=device)
        return 0.5 * (factors * SumOfGaussians.power_law(cutoff=3.0).to(device)(distance)[0]).sum().detach()

    wanted = torch.stack([target(r) for r in positions])
    left = {}
    for n_species in (1, 2):
        settings = {"cutoff": 3.0, "n_gaussians": 4, "remove_self_interaction": True, "n_species": n_species}
        layer = power_law_convolution(**settings).to(device)
        charges = torch.tensor([1.0, -0.5], device=device, requires_grad=True)
        optimizer = torch.optim.LBFGS([charges, *layer.parameters()], max_iter=300, line_search_fn="strong_wolfe")
        batch = torch.arange(12, device=device).repeat_interleave(12)
        cells, pbc = torch.zeros(12, 3, 3, device=device), torch.zeros(12, 3, dtype=torch.bool, device=device)

        def loss(layer=layer, charges=charges, optimizer=optimizer, batch=batch, cells=cells, pbc=pbc, n=n_species):
            optimizer.zero_grad()
            columns = in_columns(charges[species][:, None], species % n, n).repeat(12, 1)
            energies = layer(columns, torch.cat(positions), cells, pbc, batch)
            value = (energies - wanted).square().mean()
            value.backward()
            return value

        optimizer.step(loss)
        left[n_species] = loss().sqrt() / wanted.std()
    assert left[2] < 1e-2
    assert left[1] > 0.1


@pytest.mark.parametrize(("n_species", "by_pairs"), [(1, True), (2, False)])
def test_large_clusters_leave_the_pair_sum_earlier_with_more_kernels(n_species, by_pairs):
    """Every pair of atoms is summed with each kernel: 1 500 atoms by pairs with one kernel, not with three."""
    layer = power_law_convolution(cutoff=5.0, tolerance=1e-2, n_species=n_species)
    positions, pbc = 30 * torch.rand(1500, 3), torch.zeros(1, 3, dtype=torch.bool)
    plan = layer.plan(torch.zeros(1, 3, 3), pbc, None, positions)
    assert (plan.groups[0].method == "pairs") is by_pairs


def test_what_does_not_fit_is_refused_by_name():
    kernel = SumOfGaussians.power_law(n_channels=3)
    with pytest.raises(ValueError, match="the kernel has 3 channels; for n_species=3 there is one for each of 6 pairs"):
        FourierConvolution(kernel, n_species=3)
    layer = FourierConvolution(kernel, n_species=2)
    with pytest.raises(ValueError, match="2 species have a multiple of that as columns, not 3"):
        layer(torch.ones(2, 3), torch.rand(2, 3), 9 * torch.eye(3)[None])
    with pytest.raises(ValueError, match=r"2 latents of 2 species take 3 .* or 6"):
        FourierConvolution(SumOfGaussians.power_law(n_channels=9), n_species=2)(
            torch.ones(2, 4), torch.rand(2, 3), 9 * torch.eye(3)[None]
        )
