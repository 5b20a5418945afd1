"""Averages with errors by blocks."""

import numpy as np
import pytest

from sognet.trajectories.blocks import Blocks


@pytest.mark.parametrize("n", [1, 2, 7, 16, 17, 100, 1000])
def test_mean_is_that_of_all_values_in_bounded_memory(n):
    values = np.random.default_rng(n).standard_normal((n, 3))
    blocks = Blocks((3,), 4)
    for k, value in enumerate(values):
        blocks.add(k, value)
    np.testing.assert_allclose(blocks.mean, values.mean(0))
    assert len(blocks.block_means) <= 8
    assert n < 8 or len(blocks.block_means) >= 4
    assert np.isfinite(blocks.error).all() == (n > 1)


def test_errors_cover_the_truth_of_correlated_values_in_two_thirds():
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(300):
        noise = rng.standard_normal(2000)
        value, blocks = 0.0, Blocks((), 8)
        for k in range(len(noise)):
            value = 0.9 * value + noise[k]
            blocks.add(k, np.asarray(value))
        covered.append(abs(blocks.mean) < blocks.error)
    assert 0.58 < np.mean(covered) < 0.75
