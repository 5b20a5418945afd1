"""Spread of the references and coefficient of determination."""

import numpy as np
import pytest
from structures import labelled_atoms

from sognet.analysis.predictions import Prediction
from sognet.analysis.spread import spreads
from sognet.data import Keys, Structure


def predictions(noise: float, n: int = 200):
    rng = np.random.default_rng(0)
    found = []
    for seed in range(n):
        structure = Structure.from_atoms(labelled_atoms(4 + seed % 3, seed=seed), Keys(), f"frame {seed}")
        size = len(structure)
        of_atoms = -1000.0 * size  # reference energies, whose variation with the size is no spread
        structure.energy = of_atoms + size * rng.normal()
        structure.forces = 0.8 * rng.normal(size=(size, 3))
        energy = structure.energy + size * noise * rng.normal()
        forces = structure.forces + 0.8 * noise * rng.normal(size=(size, 3))
        found.append(Prediction(structure, energy, energy - of_atoms - 0.5, 0.5, np.zeros((size, 1)), forces))
    return found


def test_spread_is_that_of_the_data_without_reference_energies():
    found = spreads(predictions(0.1))
    assert found["force_spread"] == pytest.approx(800, rel=0.05)
    assert found["energy_spread"] == pytest.approx(1000, rel=0.15)
    assert "stress_spread" not in found


@pytest.mark.parametrize("noise", [0.0, 0.1, 1.0])
def test_determination_is_one_minus_the_share_of_the_variance_that_is_left(noise):
    found = spreads(predictions(noise))
    assert found["force_r2"] == pytest.approx(1 - noise**2, abs=0.05)
    assert found["energy_r2"] == pytest.approx(1 - noise**2, abs=0.15)


def test_a_single_value_has_no_spread():
    assert not any(name.startswith("energy") for name in spreads(predictions(0.1, n=1)))
    assert spreads([]) == {}
