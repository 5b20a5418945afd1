import math

import pytest
import torch

from sognet.long_range import COULOMB_CONSTANT, SumOfGaussians

pytestmark = pytest.mark.usefixtures("double")


def test_power_law_has_the_published_weights_and_bandwidths():
    kernel = SumOfGaussians.power_law(exponent=1.0, cutoff=5.0, n_gaussians=12, base=2.0)
    s = 5.0 / 1.9892536839080267
    powers = 2.0 ** torch.arange(12)
    torch.testing.assert_close(kernel.weights[0], COULOMB_CONSTANT * 4 * math.pi * powers**2 * s**2 * math.log(2))
    torch.testing.assert_close(kernel.bandwidths[0], math.sqrt(2) / (powers * s))


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0, 3.0, 6.0])
def test_power_law_follows_any_exponent_beyond_the_cutoff(exponent, device):
    kernel = SumOfGaussians.power_law(exponent=exponent, cutoff=5.0, n_gaussians=160, base=1.3).to(device)
    r = torch.linspace(5.0, 50.0, 400, device=device)
    assert (kernel(r) * r**exponent / COULOMB_CONSTANT - 1).abs().max() < 1e-5


def test_channels_follow_exponents_of_their_own_and_start_equally_strong(device):
    kernel = SumOfGaussians.power_law(exponents=[1, 3, 6], cutoff=5.0, n_gaussians=160, base=1.3).to(device)
    r = torch.linspace(5.0, 50.0, 400, device=device)
    for channel, exponent in enumerate((1, 3, 6)):
        expected = COULOMB_CONSTANT / 5.0 * (5.0 / r) ** exponent
        assert (kernel(r)[channel] / expected - 1).abs().max() < 1e-5
    with pytest.raises(ValueError, match="exponents > 0"):
        SumOfGaussians.power_law(exponents=[1, 0])


@pytest.mark.parametrize("base", [1.3, 1.63, 2.0])
def test_coulomb_start_errs_by_no_more_than_the_published_bound(base):
    kernel = SumOfGaussians.power_law(exponent=1.0, cutoff=5.0, n_gaussians=160, base=base)
    r = torch.linspace(7.5, 60.0, 2000)  # beyond the cutoff by what the next Gaussian needs to take over
    bound = 2 * math.sqrt(2) * math.exp(-(math.pi**2) / (2 * math.log(base)))
    error = (kernel(r) * r / COULOMB_CONSTANT - 1).abs()
    assert error.max() < 1.01 * bound


def test_real_space_kernel_is_the_fourier_transform_of_the_multiplier(device):
    kernel = SumOfGaussians.log_spaced(s_min=0.2, s_max=1.5, n_gaussians=6, n_channels=2, weight=3.0).to(device)
    k = torch.linspace(0.0, 15.0, 40001, device=device)
    for r in (0.3, 1.0, 4.0):
        integrand = kernel.multiplier(k**2) * k * torch.sin(k * r) / (2 * math.pi**2 * r)
        torch.testing.assert_close(
            kernel(torch.tensor(r, device=device)), torch.trapezoid(integrand, k), rtol=1e-7, atol=1e-10
        )


def test_log_spaced_start_is_the_published_one():
    kernel = SumOfGaussians.log_spaced(s_min=0.1, s_max=2.0, n_gaussians=4, weight=1.0)
    expected = torch.exp(math.log(0.1) + torch.arange(1, 5) * math.log(20.0) / 4)
    torch.testing.assert_close(kernel.bandwidths[0], expected)
    torch.testing.assert_close(kernel.weights[0], torch.ones(4))


def test_single_precision_follows_the_multiplier_to_where_gaussians_underflow(device):
    k_squared = torch.logspace(-8, 1.5, 200, dtype=torch.float64, device=device)
    kernel = SumOfGaussians.power_law(cutoff=2.0, n_gaussians=20).to(device)
    expected = kernel.double().multiplier(k_squared)
    single = kernel.float().multiplier(k_squared.float())
    torch.testing.assert_close(single.double(), expected, rtol=1e-5, atol=0.0)


def test_bandwidths_stay_bounded_whatever_training_does(device):
    kernel = SumOfGaussians.power_law(cutoff=4.0, n_gaussians=6).to(device)
    k_cut = kernel.k_cut(1e-5)
    for shift in (-50.0, 50.0):
        with torch.no_grad():
            kernel.bandwidth_shift.fill_(shift)
        assert (kernel.bandwidths > 0).all()
        assert (torch.exp(-((k_cut / kernel.bandwidths) ** 2)) < 1.0001e-5).all()


def test_truncation_error_is_the_part_of_g_beyond_k_cut(device):
    kernel = SumOfGaussians.power_law(cutoff=4.0, n_gaussians=6).to(device)
    k = torch.linspace(2.0, 12.0, 20001, device=device)
    beyond = torch.trapezoid(kernel.multiplier(k**2) * k**2, k) / (2 * math.pi**2)
    torch.testing.assert_close(kernel.truncation_error(2.0), beyond / kernel(k.new_zeros(())), rtol=1e-5, atol=0)


def test_start_keeps_double_precision_through_a_cast(device):
    kernel = SumOfGaussians.power_law(exponent=1.0, cutoff=5.0, n_gaussians=12).to(device)
    there_and_back = SumOfGaussians.power_law(exponent=1.0, cutoff=5.0, n_gaussians=12).float().to(device).double()
    assert torch.equal(kernel.weights, there_and_back.weights)
    assert torch.equal(kernel.bandwidths, there_and_back.bandwidths)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SumOfGaussians([[1.0, 1.0]], [[1.0]]),
        lambda: SumOfGaussians([[1.0]], [[-1.0]]),
        lambda: SumOfGaussians([[1.0]], [[1.0]], max_bandwidth=0.5),
        lambda: SumOfGaussians.power_law(exponent=-1.0),
        lambda: SumOfGaussians.power_law(base=1.0),
        lambda: SumOfGaussians.log_spaced(s_min=2.0, s_max=1.0),
        lambda: SumOfGaussians.power_law().k_cut(0.0),
    ],
)
def test_impossible_settings_are_refused(make):
    with pytest.raises(ValueError, match=r"must|needs"):
        make()
