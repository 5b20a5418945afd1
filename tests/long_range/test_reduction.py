"""Shorter kernels: the tolerance holds at every wave number, and no Gaussian is kept that nothing needs."""

import numpy as np
import pytest
import torch
from reference import salt

from sognet.long_range import FourierConvolution, SumOfGaussians
from sognet.long_range.reduction import balanced_truncation, reduce_kernel

pytestmark = pytest.mark.usefixtures("double")


def trained_kernel(n_channels=1, both_signs=False):
    torch.manual_seed(1)
    kernel = SumOfGaussians.power_law(cutoff=5.0, n_gaussians=12, n_channels=n_channels)
    with torch.no_grad():
        kernel.relative_weights.mul_(1 + (2.0 if both_signs else 0.3) * torch.randn_like(kernel.relative_weights))
        kernel.bandwidth_shift.add_(0.3 * torch.randn_like(kernel.bandwidth_shift))
    return kernel


def largest_change(kernel, shorter, lowest):
    k = torch.logspace(np.log10(lowest), np.log10(kernel.k_cut(1e-8)), 5001)
    before, after = (x.multiplier(k**2).detach() * k**2 for x in (kernel, shorter))
    return ((after - before).abs().amax(1) / before.abs().amax(1)).max().item()


@pytest.mark.parametrize("both_signs", [False, True])
@pytest.mark.parametrize("tolerance", [1e-2, 1e-4])
def test_the_tolerance_holds_where_modes_are(both_signs, tolerance):
    kernel = trained_kernel(2, both_signs)
    shorter, changes = reduce_kernel(kernel, tolerance, box_length=30.0)
    assert shorter.n_gaussians <= 6
    assert largest_change(kernel, shorter, 2 * np.pi / 30.0) <= 1.05 * tolerance
    assert changes.max() <= tolerance
    assert shorter.k_cut(1e-5) == kernel.k_cut(1e-5)
    assert (shorter.bandwidths < kernel.max_bandwidth).all()


def test_gaussians_that_stand_twice_become_one():
    kernel = SumOfGaussians([[1.0, -2.0, 3.0] * 2], [[0.2, 0.5, 1.0] * 2])
    shorter, changes = reduce_kernel(kernel, 1e-6)
    assert shorter.n_gaussians == 3
    order = shorter.bandwidths[0].argsort()
    torch.testing.assert_close(shorter.weights[0, order], torch.tensor([2.0, -4.0, 6.0]), rtol=1e-4, atol=0)
    torch.testing.assert_close(shorter.bandwidths[0, order], torch.tensor([0.2, 0.5, 1.0]), rtol=1e-4, atol=0)
    assert changes.max() < 1e-6


def test_a_kernel_that_needs_all_gaussians_stays():
    """Octaves of a power law hold each its own range of wave numbers."""
    kernel = trained_kernel()
    shorter, changes = reduce_kernel(kernel, 1e-5)
    assert shorter is kernel
    assert not changes.any()


def test_energies_and_forces_change_by_the_tolerance():
    latent, positions, cell = salt()
    positions.requires_grad_()
    layer = FourierConvolution(trained_kernel(), tolerance=1e-8)
    found = []
    for tolerance in (None, 1e-3, 1e-6):
        if tolerance:
            layer.kernel, _ = reduce_kernel(layer.kernel, tolerance, box_length=cell[0].norm(dim=1).max().item())
        energy = layer(latent, positions, cell).sum()
        found.append((energy.detach(), torch.autograd.grad(energy, positions)[0]))
    for tolerance, (energy, forces) in zip((1e-3, 1e-3 + 1e-6), found[1:], strict=True):
        assert abs(energy - found[0][0]) < 3 * tolerance * abs(found[0][0])
        assert (forces - found[0][1]).norm() < 3 * tolerance * found[0][1].norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_energies_without_self_interaction_do_not_jump(dtype):
    """Gaussians that no mode sees have a self-interaction, which is removed from the energy."""
    latent, positions, cell = (x.to(dtype) for x in salt())
    layer = FourierConvolution(trained_kernel(2), tolerance=1e-8, remove_self_interaction=True).to(dtype)
    latent = torch.cat([latent, latent.flip(0)], 1)
    before = layer(latent, positions, cell)
    settings = {"tolerance": 1e-4, "box_length": cell[0].norm(dim=1).max().item()}
    unseen = reduce_kernel(layer.kernel, **settings)[0]
    layer.kernel, _ = reduce_kernel(layer.kernel, **settings, keep_self=True)
    assert layer.kernel.n_gaussians == unseen.n_gaussians + 1 <= 6
    assert abs(layer(latent, positions, cell) - before) < 3e-4 * abs(before)
    layer.kernel = unseen
    assert abs(layer(latent, positions, cell) - before) > 1e-2 * abs(before)


def test_balanced_truncation_finds_the_poles_that_are_there():
    weights, decays = np.array([1.0, 2.0, 0.5, 1.0]), np.array([1.0, 4.0, 4.0, 20.0])
    np.testing.assert_allclose(np.sort(balanced_truncation(weights, decays, 3)), [1.0, 4.0, 20.0], rtol=1e-6)


def cancellation(kernel):
    """Largest sum of |terms| over the largest value of their sum."""
    k = torch.logspace(-3, 1, 2000)
    terms = (kernel.weights[0, :, None] * torch.exp(-((k / kernel.bandwidths[0, :, None]) ** 2)) * k**2).detach()
    return (terms.abs().sum(0).max() / terms.sum(0).abs().max()).item()


@pytest.mark.parametrize(("seed", "tolerance"), [(191, 1e-3), (387, 1e-2), (118, 1e-3)])
def test_gaussians_do_not_cancel_more_than_before(seed, tolerance):
    """Fits of two or three to these kernels have terms ten thousand times as large as their sum."""
    torch.manual_seed(seed)
    bandwidths = 0.3 * torch.rand(1, 4, dtype=torch.float32).double() + 0.3
    kernel = SumOfGaussians(torch.randn(1, 4, dtype=torch.float32), bandwidths)
    shorter, _ = reduce_kernel(kernel, tolerance)
    assert cancellation(shorter) <= max(10.0, 1.01 * cancellation(kernel))


def test_single_precision_and_frozen_kernels_stay_so():
    kernel = SumOfGaussians.power_law(trainable=False).float()
    shorter, _ = reduce_kernel(kernel, 1e-3, 20.0)
    assert shorter.relative_weights.dtype == torch.float32
    assert not shorter.trainable


@pytest.mark.parametrize("settings", [{"tolerance": 0.0}, {"tolerance": 2.0}, {"box_length": -1.0}])
def test_settings_without_meaning_are_refused(settings):
    with pytest.raises(ValueError, match="tolerance < 1 and a positive box length"):
        reduce_kernel(trained_kernel(), **settings)
