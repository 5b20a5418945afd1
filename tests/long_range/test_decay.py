"""The fitted decay of kernels that are known."""

import math

import numpy as np
import pytest
import torch

from sognet.analysis import fitted_decay
from sognet.long_range import COULOMB_CONSTANT, FourierConvolution, SumOfGaussians


@pytest.mark.parametrize("exponent", [1.0, 2.0, 3.0])
def test_exponent_and_amplitude_of_a_power_law(exponent, device):
    decay = fitted_decay(SumOfGaussians.power_law(exponent, cutoff=5.0).to(device), r_min=5.0, box_length=40.0)
    assert decay.exponent == pytest.approx(exponent, abs=0.06)
    assert decay.amplitude == pytest.approx(COULOMB_CONSTANT, rel=0.25)


def test_gaussians_that_the_box_cannot_see_do_not_count(device):
    kernel = SumOfGaussians.power_law(1.0, cutoff=5.0).to(device)
    before = fitted_decay(kernel, 5.0, 30.0)
    kernel.relative_weights.data[:, 6:] = 1e3
    assert fitted_decay(kernel, 5.0, 30.0) == before


def test_repulsive_and_attractive_kernels_differ_in_sign():
    kernel = SumOfGaussians.power_law(1.0, cutoff=5.0)
    kernel.relative_weights.data *= -1
    assert fitted_decay(kernel, 5.0, 30.0).amplitude < 0


def test_no_decay_where_the_box_sees_no_gaussian():
    kernel = SumOfGaussians([[1.0]], [[0.01]])
    assert fitted_decay(kernel, 5.0, 10.0) is None
    assert fitted_decay(kernel, 5.0, 0.0) is None


@pytest.mark.parametrize("n_channels", [1, 2])
def test_diagnostics_of_the_layer_are_the_decay_of_its_kernel(n_channels, device):
    layer = FourierConvolution(SumOfGaussians.power_law(2.0, cutoff=5.0, n_channels=n_channels)).to(device)
    found = layer.diagnostics(cutoff=5.0, box_length=40.0)
    assert len(found) == 2 * n_channels
    for channel in range(n_channels):
        name = f"kernel/{channel}" if n_channels > 1 else "kernel"
        assert found[f"{name}/exponent"] == pytest.approx(2.0, abs=0.06)
    assert layer.diagnostics() == {}
    layer.kernel.bandwidth_shift.data += 0.1
    assert layer.regularization()["kernel"].item() == pytest.approx(0.1**2)


def test_in_clusters_all_gaussians_count(device):
    """Without a box the fit is that of the whole kernel; a box of this length would see only some of the Gaussians."""
    kernel = SumOfGaussians.power_law(1.0, cutoff=5.0, n_gaussians=12).double()
    r = torch.logspace(math.log10(5.0), math.log10(7.5), 200, dtype=torch.float64)
    with torch.no_grad():
        slope = (kernel(r + 1e-5) - kernel(r - 1e-5))[0] / 2e-5
    line = np.polyfit(np.log(r.numpy()), np.log(-slope.numpy()), 1)
    kernel = kernel.to(device)
    cluster = fitted_decay(kernel, r_min=5.0, box_length=15.0, periodic=False)
    assert cluster.exponent == pytest.approx(-line[0] - 1, abs=1e-4)
    assert cluster.exponent == pytest.approx(1.0, abs=0.15)  # the series winds around 1/r
    assert fitted_decay(kernel, r_min=5.0, box_length=15.0).exponent > 1.3
