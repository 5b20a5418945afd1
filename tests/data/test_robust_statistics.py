"""A few wrong labels move neither reference energies nor scales."""

import numpy as np
import pytest
from ase import units

from sognet.data import Structure, statistics
from sognet.data.label_spread import label_spreads
from sognet.data.reference_energy_fit import usual_energies
from sognet.data.usual_sizes import largest_usual, with_usual_forces

KCAL = units.mol / units.kcal
ELEMENTS = {29: -3.5, 47: -812.25, 79: -2.25}
"""Energies in eV by atomic number."""


def structures(n, seed=0):
    """Of any composition, with an interaction energy of 0.02 eV/atom and forces of 0.5 eV/Å."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        numbers = rng.choice(list(ELEMENTS), size=rng.integers(4, 30))
        energy = sum(ELEMENTS[z] for z in numbers.tolist()) + 0.02 * len(numbers) * rng.normal()
        positions, forces = rng.uniform(0, 9, (len(numbers), 3)), 0.5 * rng.normal(size=(len(numbers), 3))
        made.append(Structure(numbers, positions, np.zeros((3, 3)), np.zeros(3, bool), f"frame {i}", energy, forces))
    return made


def spoil(made, kind):
    if kind == "energy":
        made[7].energy += 1000.0
    elif kind == "forces":
        made[7].forces *= 100.0
    for structure in made[::20] if kind == "unit" else ():
        structure.energy *= KCAL
        structure.forces = KCAL * structure.forces


@pytest.mark.parametrize("n", [60, 1500])  # 1500: more than are decomposed at once
@pytest.mark.parametrize("kind", ["energy", "forces", "unit"])
def test_outliers_move_no_statistics(n, kind):
    made = structures(n)
    spoil(made, kind)
    found, spreads = statistics(made), label_spreads(made)
    for symbol, energy in zip(("Cu", "Ag", "Au"), ELEMENTS.values(), strict=True):
        assert found.reference_energies[symbol] == pytest.approx(energy, abs=0.05)
    assert found.force_rms == pytest.approx(0.5, rel=0.4)
    assert spreads["forces"] == pytest.approx(0.5, rel=0.4)
    assert 0.01 < spreads["energy"] < 0.04


def test_statistics_of_good_data_are_plain_least_squares_and_root_mean_squares():
    made = structures(200)
    found = statistics(made)
    counts = np.array([[np.sum(s.numbers == z) for z in ELEMENTS] for s in made])
    plain, *_ = np.linalg.lstsq(counts, np.array([s.energy for s in made]), rcond=None)
    assert list(found.reference_energies.values()) == pytest.approx(plain.tolist(), abs=1e-8)
    forces = np.concatenate([s.forces for s in made])
    assert found.force_rms == pytest.approx(np.sqrt(np.square(forces).mean()), rel=1e-12)


def test_the_energy_of_an_element_that_only_one_structure_has_is_kept():
    counts = np.array([[4.0, 0.0]] * 30 + [[3.0, 1.0]])
    energies = counts @ [-3.0, -900.0]
    assert usual_energies(counts, energies).all()
    energies[3] += 100.0
    assert usual_energies(counts, energies).tolist() == [k != 3 for k in range(31)]


def test_data_that_are_mostly_at_rest_keep_their_forces():
    assert largest_usual(np.array([0.01] * 80 + [0.5] * 20)) > 0.5
    assert largest_usual(np.zeros(5)) == np.inf
    assert largest_usual(np.array([1.0, 100.0])) < 100.0
    made = structures(30)
    spoil(made, "forces")
    assert [s.source for s in with_usual_forces(made)] == [f"frame {k}" for k in range(30) if k != 7]
    made[3].forces = None
    assert "frame 3" in [s.source for s in with_usual_forces(made)]
