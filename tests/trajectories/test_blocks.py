"""Averages with errors by blocks."""

import numpy as np
import pytest

from sognet.trajectories.blocks import Blocks, standard_error


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


def test_a_last_block_that_is_not_half_full_has_no_mean():
    blocks = Blocks((), 2)
    for k in range(9):
        blocks.add(k, np.asarray(float(k)))
    np.testing.assert_array_equal(blocks.block_means, [1.5, 5.5, np.nan])
    assert blocks.mean == 4.0
    blocks.add(9, np.asarray(9.0))
    np.testing.assert_array_equal(blocks.block_means, [1.5, 5.5, 8.5])


def test_standard_errors_are_those_of_the_samples_that_there_are():
    samples = np.array([[1.0, 1.0, 5.0], [2.0, np.nan, np.nan], [4.0, 7.0, np.nan]])
    expected = [np.std([1, 2, 4], ddof=1) / np.sqrt(3), np.std([1, 7], ddof=1) / np.sqrt(2), np.nan]
    np.testing.assert_allclose(standard_error(samples), expected)
