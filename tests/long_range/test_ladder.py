"""Power laws as sums of Gaussians of fixed widths."""

import numpy as np
import pytest
import torch

from sognet.long_range.ladder import ladder_kernel, ladder_widths, power_law_weights, slopes


@pytest.mark.parametrize("exponent", [0.5, 1.0, 3.0, 6.0])
def test_power_laws_are_followed_beyond_the_cutoff(exponent):
    widths, r = ladder_widths(5.0, 30.0), np.geomspace(5.0, 10.0, 50)
    slope = slopes(widths, r) @ power_law_weights(exponent, widths, 5.0)
    wider = ladder_widths(5.0, 1e4)  # what a box of 30 Å does not see
    whole = slopes(wider, r) @ power_law_weights(exponent, wider, 5.0)
    np.testing.assert_allclose(whole, -exponent * r ** (-exponent - 1), rtol=5e-3)
    np.testing.assert_allclose(slope[:10], whole[:10], rtol=0.1)


def test_the_kernel_of_a_ladder_is_the_sum_of_its_gaussians():
    widths = ladder_widths(4.0, 20.0)
    r = torch.linspace(0.0, 12.0, 20, dtype=torch.float64)
    expected = torch.exp(-0.5 * (r[:, None] / torch.from_numpy(widths)) ** 2).sum(1)
    torch.testing.assert_close(ladder_kernel(widths)(r)[0].detach(), expected)
    numeric = (ladder_kernel(widths)(r + 1e-5) - ladder_kernel(widths)(r - 1e-5))[0].detach() / 2e-5
    np.testing.assert_allclose(slopes(widths, r.numpy()).sum(1), numeric, atol=1e-8)
