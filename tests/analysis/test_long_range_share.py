"""What the long-range layer contributes, of models whose kernel is known."""

import numpy as np
import pytest
import torch
from structures import NO_TARGETS, deep_potential, random_atoms, small_model

from sognet import SOGNet
from sognet.analysis.long_range_share import decays, force_shares, tilted
from sognet.data import Structure
from sognet.long_range import FourierConvolution, SumOfGaussians
from sognet.long_range.decay import Boxes

pytestmark = pytest.mark.usefixtures("double")


def structures(n=3, cell=20.0):
    return [Structure.from_atoms(random_atoms(12, cell=np.eye(3) * cell, seed=s), NO_TARGETS, f"{s}") for s in range(n)]


def charged(exponent=1.0, amplitude=14.4, cutoff=4.0, **settings):
    kernel = SumOfGaussians.power_law(exponent, cutoff, n_gaussians=8, amplitude=amplitude, **settings)
    return SOGNet(deep_potential(cutoff), FourierConvolution(kernel), charges={"Na": 1.0, "Cl": -1.0})


def test_a_tilted_kernel_decays_as_another_power(device):
    kernel = SumOfGaussians.power_law(1.0, 4.0, n_gaussians=10).to(device)
    r = torch.linspace(6.0, 20.0, 50, device=device)
    ratio = SumOfGaussians.power_law(1.5, 4.0, n_gaussians=10).to(device)(r)[0]
    before = kernel(r)[0].detach()
    with tilted(kernel, 0.5):
        slope = torch.diff(kernel(r)[0].log()) / torch.diff(r.log())
        assert -slope.mean().item() == pytest.approx(1.5, abs=0.06)
        assert torch.diff((kernel(r)[0] / ratio).log()).abs().max() < 0.05
    torch.testing.assert_close(kernel(r)[0], before)


def test_forces_of_the_layer_and_their_sensitivity_grow_with_its_strength(device):
    models = charged(amplitude=0.1), charged()
    weak, strong = (force_shares(model.to(device), structures()) for model in models)
    for name in ("long_range_force_rms", "decay_sensitivity"):
        assert strong[name] == pytest.approx(144 * weak[name], rel=1e-6)
    assert 0 < strong["decay_sensitivity"] < strong["long_range_force_rms"]
    assert strong["force_rms"] > 0


def test_what_is_said_of_an_exponent(device):
    model = charged(exponent=2.0).to(device)
    sensitivity = force_shares(model, structures())["decay_sensitivity"]
    (decay,) = decays(model, Boxes(30.0, True), sensitivity, 0.5 * sensitivity)
    assert decay["status"] == "unchanged"
    (decay,) = decays(model, Boxes(30.0, True), sensitivity, 4.0 * sensitivity)  # the error would rise by 3 %
    assert decay["status"] == "undetermined"
    kernel = model.long_range.kernel
    with torch.no_grad():
        kernel.relative_weights.mul_(kernel.bandwidths**-1)
    (decay,) = decays(model, Boxes(30.0, True), sensitivity, 0.5 * sensitivity)
    assert decay["status"] == "found"
    assert decay["exponent"] == pytest.approx(1.0, abs=0.1)
    assert decay["initial_exponent"] == pytest.approx(2.0, abs=0.1)
    (decay,) = decays(model, Boxes(8.0, True), sensitivity, 0.5 * sensitivity)
    assert decay["status"] == "hidden"
    (decay,) = decays(charged(trainable=False), Boxes(30.0, True), sensitivity, 0.5 * sensitivity)
    assert decay["status"] == "fixed"


def test_a_kernel_that_the_boxes_do_not_see_is_not_determined(device):
    model = small_model().to(device)
    shares = force_shares(model, structures(cell=7.0))
    assert shares["decay_sensitivity"] < 0.2 * shares["long_range_force_rms"]
