"""Heads: networks of an atom's features."""

import pytest
import torch

from sognet.model.heads import Readout

pytestmark = pytest.mark.usefixtures("double")


@pytest.mark.parametrize("hidden", [(), (8,), (8, 8, 16)])
@pytest.mark.parametrize("activation", ["tanh", "silu"])
def test_a_network_of_small_features_starts_as_one_of_unit_features_with_a_small_output(hidden, activation):
    """So its hidden units are as far from linear, and its output is as small as the features."""
    features, scale = torch.randn(50, 30), 1e-3
    heads = []
    for input_scale in (1.0, scale):
        torch.manual_seed(0)
        settings = {"bias": False, "bypass": False, "residual": True, "input_scale": input_scale}
        heads.append(Readout(30, hidden, 2, activation, **settings))
    unit, small = heads
    torch.testing.assert_close(small(scale * features), scale * unit(features), rtol=1e-12, atol=1e-15)
