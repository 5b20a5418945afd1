import copy
import math

import pytest
import torch
import torchpme
from devices import NONDETERMINISM
from reference import TRICLINIC, dense_reciprocal_sum, lattice_sum, salt
from torch.autograd import grad
from vesin import NeighborList

from sognet.long_range import COULOMB_CONSTANT, FourierConvolution, SumOfGaussians
from sognet.long_range import fourier_convolution as module

pytestmark = pytest.mark.usefixtures("double")
METHODS = ("direct", "separable", "mesh", "nufft")


def make_layer(method="auto", channels=1, k_cut=4.0, device="cpu", **settings):
    kernel = SumOfGaussians.power_law(cutoff=4.0, n_gaussians=6, n_channels=channels)
    with torch.no_grad():  # away from the start, where the channels are alike
        kernel.relative_weights.mul_(1 + 0.3 * torch.randn_like(kernel.relative_weights))
        kernel.bandwidth_shift.add_(0.2 * torch.randn_like(kernel.bandwidth_shift))
    tolerance = 1e-9 if method == "mesh" else 1e-12
    return FourierConvolution(kernel, k_cut=k_cut, tolerance=tolerance, method=method, **settings).to(device)


def mixed_batch(channels=2, device="cpu"):
    """Periodic cells of different size and shape, a cluster, and one atom alone: arguments of the layer."""
    cells = torch.tensor([TRICLINIC, [[0.0] * 3] * 3, [[5.0, 0, 0], [0, 12, 0], [2, 0, 7]], TRICLINIC, [[9.0] * 3] * 3])
    counts = (24, 7, 11, 9, 1)
    pbc = torch.tensor([True, False, True, True, False])[:, None].expand(-1, 3)
    batch = torch.repeat_interleave(torch.arange(5), torch.tensor(counts))
    arguments = torch.randn(len(batch), channels), torch.rand(len(batch), 3) * 8, cells, pbc, batch
    return tuple(x.to(device) for x in arguments)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("channels", [1, 3])
def test_energy_force_stress_and_force_loss_gradients_are_those_of_the_dense_sum(method, channels, device):
    latent, positions, cell = salt(n_channels=channels, device=device)
    layer = make_layer(method, channels, device=device)

    def derivatives(energy_of):
        inputs = [latent.clone().requires_grad_(), positions.clone().requires_grad_(), cell.clone().requires_grad_()]
        energy = energy_of(*inputs)
        first = grad(energy, inputs, create_graph=True)
        loss = energy + sum(x.square().sum() for x in first)
        return [energy, *first, *grad(loss, [*inputs, *layer.parameters()])]

    ours = derivatives(lambda q, r, h: layer(q, r, h).sum())
    dense = derivatives(lambda q, r, h: dense_reciprocal_sum(layer.kernel, q, r, h[0], layer.k_cut))
    for a, b in zip(ours, dense, strict=True):
        assert (a - b).abs().max() < (1e-7 if method == "mesh" else 1e-9) * b.abs().max()


@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_a_mixed_batch_has_the_energies_and_gradients_of_its_structures(method, device):
    latent, positions, cells, pbc, batch = mixed_batch(device=device)
    latent.requires_grad_(), positions.requires_grad_(), cells.requires_grad_()
    layer = make_layer(method, channels=2, device=device)
    inputs = [latent, positions, cells, *layer.parameters()]

    def force_loss_gradients(energies):
        forces, virial = grad(energies.sum(), (positions, cells), create_graph=True)
        return grad(forces.square().sum() + virial[0].square().sum() + energies.square().sum(), inputs)

    energies = layer(latent, positions, cells, pbc, batch)
    singly = [layer(latent[batch == i], positions[batch == i], cells[i : i + 1], pbc[i : i + 1]) for i in range(5)]
    torch.testing.assert_close(energies, torch.cat(singly), rtol=1e-10, atol=1e-10)
    together = force_loss_gradients(energies)
    apart = force_loss_gradients(torch.cat(singly))
    for a, b in zip(together, apart, strict=True):
        assert (a - b).abs().max() < 1e-8 * b.abs().max()


def test_atoms_may_come_in_any_order_and_structures_may_be_empty(device):
    latent, positions, cells, pbc, batch = mixed_batch(device=device)
    layer = make_layer(channels=2, device=device)
    energies = layer(latent, positions, cells, pbc, batch)
    shuffled = torch.randperm(len(batch)).to(device)
    torch.testing.assert_close(layer(latent[shuffled], positions[shuffled], cells, pbc, batch[shuffled]), energies)
    kept = batch != 2
    energies[2] = 0
    torch.testing.assert_close(layer(latent[kept], positions[kept], cells, pbc, batch[kept]), energies)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("wrt", ["positions", "strain", "latent"])
def test_first_derivatives_agree_with_finite_differences(method, wrt, device):
    latent, positions, cell = salt(12, 2, device=device)
    layer = make_layer(method, channels=2, device=device)

    def energy(x):
        if wrt == "strain":
            deform = torch.eye(3, device=device) + (x + x.T) / 2
            return layer(latent, positions @ deform, cell @ deform).sum()
        return layer(latent + x, positions, cell).sum() if wrt == "latent" else layer(latent, positions + x, cell).sum()

    x = {"positions": positions, "strain": cell[0], "latent": latent}[wrt] * 0
    tolerances = {"eps": 1e-5, "atol": 1e-8, "rtol": 1e-8, "nondet_tol": NONDETERMINISM[device]}
    assert torch.autograd.gradcheck(energy, x.requires_grad_(), **tolerances)


@pytest.mark.parametrize("method", METHODS)
def test_energy_is_the_lattice_sum_of_the_real_space_kernel(method, device):
    kernel = SumOfGaussians.power_law(cutoff=4.0, n_gaussians=3, n_channels=2).to(device)
    for tolerance in (1e-4, 1e-8):
        layer = FourierConvolution(kernel, tolerance=tolerance, method=method)
        latent, positions, cell = salt(10, 2, device=device)
        expected = lattice_sum(kernel, latent, positions, cell[0], reach=8)
        assert (layer(latent, positions, cell) - expected).abs() < tolerance * expected.abs()


@pytest.mark.parametrize("base", [1.3, 1.63, 2.0])
def test_coulomb_start_and_short_range_remainder_give_the_ewald_energy(base, device):
    """A triclinic salt against torch-pme: E_Ewald = E_LR − self term + Σ_(r < r_c) q_i q_j (C/r − g(r)).

    Beyond r_c every pair errs by at most the bound of the series times C/r; 9 Å hold nearly all that does not cancel.
    """
    cutoff = 4.0
    kernel = SumOfGaussians.power_law(cutoff=cutoff, n_gaussians=80, base=base)
    layer = FourierConvolution(copy.deepcopy(kernel), tolerance=1e-9, remove_self_interaction=True).to(device)
    cell = torch.tensor([[10.0, 0.0, 0.0], [2.0, 9.0, 0.0], [-1.5, 1.0, 11.0]])
    sites = torch.cartesian_prod(*[torch.arange(4.0) / 4] * 3)
    charges = (-1.0) ** (4 * sites).sum(1, keepdim=True)
    positions = sites @ cell + 0.3 * torch.randn(64, 3)
    positions.requires_grad_()

    def pairs(within):
        neighbours = NeighborList(cutoff=within, full_list=False)
        i, j, shift = neighbours.compute(positions.detach().numpy(), cell.numpy(), periodic=True, quantities="ijS")
        i, j = torch.tensor(i.astype(int)), torch.tensor(j.astype(int))
        distance = (positions[j] - positions[i] + torch.tensor(shift).double() @ cell).norm(dim=1)
        return i, j, distance

    i, j, r = pairs(cutoff)
    remainder = (charges[i, 0] * charges[j, 0] * (COULOMB_CONSTANT / r - kernel(r)[0])).sum()
    moved = [x.to(device) for x in (charges, positions, cell[None])]
    energy = layer(*moved).sum().cpu() + remainder
    (forces,) = grad(energy, positions)

    i, j, r = pairs(9.0)
    ewald = torchpme.EwaldCalculator(torchpme.CoulombPotential(smearing=1.2), lr_wavelength=0.5).double()
    expected = COULOMB_CONSTANT * (charges * ewald(charges, cell, positions, torch.stack([i, j], 1), r)).sum()
    (expected_forces,) = grad(expected, positions)
    bound = 2 * math.sqrt(2) * math.exp(-(math.pi**2) / (2 * math.log(base)))
    beyond = COULOMB_CONSTANT / r[r > cutoff]
    assert abs(energy - expected) < bound * beyond.sum()
    assert abs(energy / expected - 1) < 10 * bound
    oscillation = math.pi / math.log(base)  # the error of the series oscillates in ln r with this wave number
    assert (forces - expected_forces).norm() < 10 * oscillation * bound * expected_forces.norm()


def test_a_cluster_is_its_own_limit_in_a_huge_cell(device):
    latent, positions, cell = salt(8, 2, device=device)
    no_cell, huge = torch.zeros_like(cell), 150 * torch.eye(3, device=device)[None]
    no_pbc = torch.zeros(1, 3, dtype=torch.bool, device=device)
    latent = latent - latent.mean(0)
    kernel = SumOfGaussians.power_law(cutoff=4.0, n_gaussians=4, n_channels=2).to(device)
    for remove in (False, True):
        layer = FourierConvolution(kernel, tolerance=1e-9, remove_self_interaction=remove)
        cluster = layer(latent, positions, no_cell, no_pbc)
        torch.testing.assert_close(cluster, layer(latent, positions, huge), rtol=1e-6, atol=0)


def test_removing_the_self_interaction_leaves_the_pairs(device):
    latent, positions, cell = salt(5, device=device)
    layer = make_layer(remove_self_interaction=True, device=device)
    energy = layer(latent, positions, cell * 0, torch.zeros(1, 3, dtype=torch.bool, device=device))
    r = torch.pdist(positions)
    i, j = torch.triu_indices(5, 5, 1)
    torch.testing.assert_close(energy.sum(), (latent[i, 0] * latent[j, 0] * layer.kernel(r)[0]).sum())


def test_zero_mode_adds_the_interaction_of_the_net_latent(device):
    latent, positions, cell = salt(device=device)
    layer, with_zero = make_layer(device=device), make_layer(include_zero_mode=True, device=device)
    with_zero.load_state_dict(layer.state_dict())
    difference = with_zero(latent, positions, cell) - layer(latent, positions, cell)
    expected = layer.kernel.multiplier(cell.new_zeros(1)).sum() * latent.sum() ** 2 / (2 * torch.linalg.det(cell[0]))
    torch.testing.assert_close(difference.sum(), expected)


@pytest.mark.parametrize("method", METHODS)
def test_channels_keep_the_zero_mode_each_on_its_own(method, device):
    """As layers of one channel do, with the derivatives by the cell."""
    latent, positions, cells, pbc, batch = mixed_batch(device=device)
    both = make_layer(method, 2, include_zero_mode=[False, True], device=device)
    cells = cells.requires_grad_()
    energy = both(latent, positions, cells, pbc, batch)
    expected = torch.zeros_like(energy)
    for channel, kept in enumerate(both.include_zero_mode):
        kernel = copy.deepcopy(both.kernel)
        kernel = SumOfGaussians(
            kernel.weights.detach()[[channel]], kernel.bandwidths.detach()[[channel]], kernel.max_bandwidth
        )
        settings = {"k_cut": both.k_cut, "tolerance": both.tolerance, "method": method, "include_zero_mode": kept}
        expected = expected + FourierConvolution(kernel, **settings)(latent[:, [channel]], positions, cells, pbc, batch)
    torch.testing.assert_close(energy, expected, rtol=1e-7, atol=1e-7)
    ours, theirs = (grad(e.sum(), cells)[0] for e in (energy, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_zero_modes_of_other_channels_than_there_are():
    with pytest.raises(ValueError, match="is for 3 latent channels, but the kernel has 2"):
        make_layer(channels=2, include_zero_mode=[True, False, True])
    with pytest.raises(ValueError, match="is for 2 latent channels, but there are 1"):
        make_layer(include_zero_mode=[True, False])(torch.ones(2, 1), torch.rand(2, 3), 9 * torch.eye(3)[None])


@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_a_cell_too_small_for_any_mode_has_no_energy_but_that_of_its_net_latent(method, device):
    latent, positions, cell = (x.to(device) for x in (torch.randn(4, 1), torch.rand(4, 3), 3.0 * torch.eye(3)[None]))
    positions.requires_grad_()
    layer, with_zero = (make_layer(method, k_cut=1.0, include_zero_mode=z, device=device) for z in (False, True))
    energy, with_zero_energy = layer(latent, positions, cell), with_zero(latent, positions, cell)
    assert energy.item() == 0.0
    assert not grad(energy.sum(), positions)[0].any()
    net = latent.sum() ** 2 * with_zero.kernel.multiplier(cell.new_zeros(1))[0] / (2 * 27.0)
    torch.testing.assert_close(with_zero_energy, net)


def test_one_multiplier_may_serve_all_channels(device):
    latent, positions, cells, pbc, batch = mixed_batch(channels=3, device=device)
    shared = make_layer(channels=1, device=device)
    each = sum(shared(latent[:, p : p + 1], positions, cells, pbc, batch) for p in range(3))
    torch.testing.assert_close(shared(latent, positions, cells, pbc, batch), each)


def test_potential_is_the_derivative_by_the_latent(device):
    latent, positions, cells, pbc, batch = mixed_batch(device=device)
    layer = make_layer(channels=2, device=device)
    with torch.no_grad():
        potential = layer.potential(latent, positions, cells, pbc, batch)
        energy = layer(latent, positions, cells, pbc, batch).sum()
    assert not potential.requires_grad
    torch.testing.assert_close((latent * potential).sum() / 2, energy)  # the energy is quadratic in the latent
    positions.requires_grad_()
    assert layer.potential(latent, positions, cells, pbc, batch).requires_grad


def test_translation_rotation_inversion_and_supercells(device):
    latent, positions, cell = salt(device=device)
    layer = make_layer(device=device)
    energy = layer(latent, positions, cell)
    rotation = torch.linalg.qr(torch.randn(3, 3))[0].to(device)
    images = torch.randint(-3, 3, positions.shape).to(positions) @ cell[0]
    for moved, lattice in [
        (positions + torch.tensor([31.0, -7.0, 2.0], device=device), cell),
        (positions @ rotation, cell @ rotation),
        (-positions, cell),
        (positions + images, cell),
    ]:
        torch.testing.assert_close(layer(latent, moved, lattice), energy, rtol=1e-11, atol=0)
    twice = cell * torch.tensor([2.0, 1, 1], device=device)[:, None]
    doubled = layer(latent.repeat(2, 1), torch.cat([positions, positions + cell[0, 0]]), twice)
    torch.testing.assert_close(doubled, 2 * energy, rtol=1e-11, atol=0)


@pytest.mark.parametrize("method", ["nufft"])
def test_nufft_reaches_the_tolerance_in_single_and_double_precision(method, device, capfd):
    cell = 25.0 * torch.eye(3, device=device)[None]
    latent, positions = torch.randn(1500, 1).to(device), (torch.rand(1500, 3) * 25.0).to(device)
    kernel = SumOfGaussians.power_law(cutoff=5.0, n_gaussians=12)

    def forces(method, tolerance, dtype):
        layer = FourierConvolution(kernel, k_cut=2.3, tolerance=tolerance, method=method).to(device, dtype)
        r = positions.to(dtype).requires_grad_()
        return grad(layer(latent.to(dtype), r, cell.to(dtype)).sum(), r)[0].double()

    exact = forces("separable", 1e-5, torch.float64)
    for tolerance in (1e-3, 1e-4, 1e-5):
        for dtype in (torch.float32, torch.float64):
            assert (forces(method, tolerance, dtype) - exact).norm() < tolerance * exact.norm()
    for tolerance in (1e-7, 1e-9, 1e-12):
        assert (forces(method, tolerance, torch.float64) - exact).norm() < tolerance * exact.norm()
    assert capfd.readouterr().err == "", "FINUFFT warns of options that it cannot keep"


def test_similar_structures_are_summed_in_one_go(monkeypatch):
    """The batched separable form must not loop over structures."""
    calls = []
    original = module.structure_factor.separable
    monkeypatch.setattr(module.structure_factor, "separable", lambda *a: calls.append(len(a[0])) or original(*a))
    cells = torch.tensor(TRICLINIC).repeat(32, 1, 1) * (1 + 0.1 * torch.rand(32, 1, 1))
    batch = torch.arange(32).repeat_interleave(20)
    make_layer("separable")(torch.randn(640, 1), torch.rand(640, 3) * 9, cells, batch=batch)
    assert calls == [32]


@pytest.mark.parametrize(("channels", "expected"), [(1, "separable"), (4, "direct")])
def test_with_more_channels_the_plain_sum_is_chosen_for_more_atoms(monkeypatch, channels, expected):
    """192 atoms and 1183 modes of the half box, as in water: its sines and cosines are shared by all channels."""
    calls = []
    for name in METHODS:
        original = getattr(module.structure_factor, name)
        monkeypatch.setattr(
            module.structure_factor, name, lambda *a, name=name, original=original: calls.append(name) or original(*a)
        )
    layer = FourierConvolution(SumOfGaussians.power_law(), k_cut=math.pi)
    layer(torch.randn(192, channels), 12.44 * torch.rand(192, 3), 12.44 * torch.eye(3)[None])
    assert calls == [expected]


def test_what_does_not_fit_is_refused_by_name():
    latent, positions, cell = salt()
    layer = make_layer(channels=2)
    with pytest.raises(ValueError, match="kernel has 2 channels and the latents 1"):
        layer(latent, positions, cell)
    with pytest.raises(ValueError, match="expected latent"):
        layer(latent, positions[:5], cell)
    layer = make_layer()
    with pytest.raises(ValueError, match="`batch` must say"):
        layer(latent, positions, cell.repeat(2, 1, 1))
    with pytest.raises(ValueError, match="structure 0 is periodic but its cell has no volume"):
        layer(latent, positions, cell * 0)
    with pytest.raises(ValueError, match="method must be one of"):
        make_layer("ewald")
    with pytest.raises(ValueError, match="a mesh reaches a tolerance of 1e-09, not 1e-12"):
        FourierConvolution(layer.kernel, tolerance=1e-12, method="mesh")
    with pytest.raises(ValueError, match="k_cut > 0"):
        make_layer(k_cut=-1.0)
