"""Shares and offsets of energies that are known."""

import numpy as np
import pytest
from structures import NO_TARGETS, random_atoms

from sognet.analysis.energy_balance import energy_offset, long_range_energy_share, long_range_variation
from sognet.analysis.predictions import Prediction
from sognet.data import Structure


def predictions(short, long, sizes=None, errors=None):
    found = []
    for i, (e_sr, e_lr) in enumerate(zip(short, long, strict=True)):
        n = 8 if sizes is None else sizes[i]
        structure = Structure.from_atoms(random_atoms(n, cell=np.eye(3) * 20, seed=i), NO_TARGETS, f"{i}")
        structure.energy = e_sr + e_lr - (0.0 if errors is None else errors[i])
        found.append(Prediction(structure, e_sr + e_lr, e_sr, e_lr, np.zeros((n, 1))))
    return found


def test_parts_that_cancel_vary_more_than_their_sum():
    rng = np.random.default_rng(0)
    total, long = rng.normal(size=40), 5.0 * rng.normal(size=40)
    numbers = predictions(total - long, long)
    found = long_range_variation(numbers)
    assert found["energy_variation"] == pytest.approx(5.0, rel=0.4)
    assert found["energy_correlation"] < -np.sqrt(1 - found["energy_variation"] ** -2)
    assert long_range_energy_share(numbers) == pytest.approx(np.abs(long).sum() / np.abs(total).sum())


def test_a_large_constant_part_of_opposite_sign_is_no_variation():
    rng = np.random.default_rng(1)
    long = -100.0 + 0.1 * rng.normal(size=40)
    numbers = predictions(101.0 + rng.normal(size=40), long)
    assert long_range_energy_share(numbers) > 20
    assert long_range_variation(numbers)["energy_variation"] < 0.2


def test_no_variation_of_one_structure_or_without_a_layer():
    assert long_range_variation(predictions([1.0], [2.0])) == {}
    assert long_range_variation(predictions([1.0, 2.0], [0.0, 0.0])) == {}


def test_an_offset_of_each_element_is_told_from_other_errors():
    rng = np.random.default_rng(2)
    sizes = rng.integers(4, 20, size=60)
    structures = predictions(np.zeros(60), np.zeros(60), sizes)
    counts = np.array([[(p.structure.numbers == z).sum() for z in (11, 17)] for p in structures])
    noise = 0.003 * rng.normal(size=60) * sizes
    shifted = predictions(np.zeros(60), np.zeros(60), sizes, counts @ [0.7, -0.2] + noise)
    found = energy_offset(shifted)
    assert found["rmse_without"] == pytest.approx(3.0, rel=0.25)
    assert found["per_atom"] == pytest.approx((counts @ [0.7, -0.2] / sizes).mean(), abs=0.002)
    assert energy_offset(shifted[:6]) is None
