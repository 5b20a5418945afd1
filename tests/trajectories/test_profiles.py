"""Densities across slabs and cells."""

import numpy as np
import pytest
from ase import Atoms
from trajectory_frames import frames

from sognet.errors import InputError
from sognet.trajectories.profiles import Profiles

CELL = np.array([[9.0, 0, 0], [2.5, 8.0, 0], [-1.5, 2.0, 10.0]])
CHARGES = {"Na": 1.0, "Cl": -1.0}
MOL_PER_LITRE = 1e27 / 6.02214076e23  # of one atom per Å³


def result(all_frames, axis=None, width=0.5):
    quantity = Profiles(all_frames[0], 8, axis, width)
    for frame in all_frames:
        quantity.add(frame)
    return quantity.result()


def uniform(pbc, n_frames=50, low=0.0, high=1.0):
    rng = np.random.default_rng(0)
    span = np.array([1, 1, high - low])
    return [
        Atoms("Na20Cl30", scaled_positions=rng.uniform(size=(50, 3)) * span + [0, 0, low], cell=CELL, pbc=pbc)
        for _ in range(n_frames)
    ]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_profile_of_a_cell_integrates_to_its_atoms(axis):
    found = result(frames(uniform(True, low=-1, high=2), charges=CHARGES), axis)
    area = np.linalg.norm(np.cross(*np.delete(CELL, axis, axis=0)))
    width = found.axis[1] - found.axis[0]
    assert len(found.axis) * width == pytest.approx(720 / area)
    assert found.axis[0] == pytest.approx(0.5 * width)
    na, cl = (curve.values.sum() * area * width / MOL_PER_LITRE for curve in found.panels[0].curves)
    assert (na, cl) == (pytest.approx(20), pytest.approx(30))
    assert found.panels[1].curves[0].values.sum() * area * width == pytest.approx(-10)
    na = found.panels[0].curves[0]
    deviation = (na.values / MOL_PER_LITRE - 20 / 720) / (na.errors / MOL_PER_LITRE)
    assert np.abs(deviation).max() < 5


def test_slab_is_seen_from_its_centre_however_it_drifts():
    slab = uniform([True, True, False], low=0.2, high=0.6)
    for k, atoms in enumerate(slab):
        atoms.positions += [0.0, 0.0, 0.7 * k]
    found = result(frames(slab, charges=CHARGES))
    assert found.axis.min() == pytest.approx(-found.axis.max(), abs=1.1)
    assert found.axis.max() < 3.5
    width = found.axis[1] - found.axis[0]
    assert found.panels[0].curves[0].values.sum() * 72 * width / MOL_PER_LITRE == pytest.approx(20)


def test_slabs_are_seen_from_their_centre_of_mass():
    heavy = Atoms(
        "AuH3", positions=[[1, 1, 5.0], [3, 1, 9.0], [5, 1, 9.0], [7, 1, 9.0]], cell=CELL, pbc=[True, True, False]
    )
    found = result(frames([heavy]))
    gold = found.axis[found.panels[0].curves[0].values.argmax()]
    assert gold == pytest.approx(-4 * 3 * 1.008 / (196.97 + 3 * 1.008), abs=0.25)


def test_profiles_need_an_axis():
    with pytest.raises(InputError, match="needs a slab"):
        result(frames(uniform(True, 1)))
    with pytest.raises(InputError, match="periodic directions beside axis=2"):
        result(frames(uniform([True, False, False], 1)), axis=2)


def test_the_axis_of_a_breathing_cell_is_that_of_its_mean():
    made = [
        Atoms("NaCl", scaled_positions=[[0, 0, 0.25], [0, 0, 0.75]], cell=scale * CELL, pbc=True)
        for scale in (1.0, 1.2)
    ]
    found = result(frames(made), axis=2)
    assert found.axis[-1] + found.axis[0] == pytest.approx(1.1 * 10.0)
    sodium = found.panels[0].curves[0].values
    width = (found.axis[1] - found.axis[0]) / 1.1
    expected = np.mean([1 / (scale**3 * 9.0 * 8.0 * width) for scale in (1.0, 1.2)])
    assert sodium.max() / MOL_PER_LITRE == pytest.approx(expected)
