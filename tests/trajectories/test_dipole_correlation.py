"""Dipole density correlation of water along an axis, against what it is for molecules whose places are known."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from scipy.spatial.transform import Rotation
from trajectory_frames import frames

from sognet.errors import InputError
from sognet.trajectories.dipole_correlation import DipoleCorrelation

CHARGES = {"O": -0.8, "H": 0.4}
WATER = molecule("H2O")
WATER.positions -= WATER.positions[0]
BISECTOR = WATER.positions[1:].sum(0)
MOMENT = 0.4 * np.linalg.norm(BISECTOR)  # e Å


def box(places, turns, height: float = 40.0, pbc=True, turn=None) -> Atoms:
    """Molecules at places (n, 3), turned."""
    atoms = Atoms(cell=[12, 13, height], pbc=pbc)
    for place, rotation in zip(places, turns, strict=True):
        atoms += Atoms("OHH", rotation.apply(WATER.positions) + place)
    if turn is not None:
        atoms.positions = atoms.positions @ turn
        atoms.set_cell(atoms.cell.array @ turn)
    return atoms


def pointing(*signs: int) -> list[Rotation]:
    """Turns that let bisectors point along ±z."""
    along = BISECTOR / np.linalg.norm(BISECTOR)
    return [Rotation.align_vectors([[0, 0, sign]], [along])[0] for sign in signs]


def result(all_frames, axis=None, **settings):
    quantity = DipoleCorrelation(all_frames[0], 4, axis, **settings)
    for frame in all_frames:
        quantity.add(frame)
    return quantity.result()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("pbc", [True, (True, True, False)])
def test_two_molecules_have_the_correlation_of_their_distance(sign, pbc):
    """μ² (1 ± cos k d), in a turned cell, whichever molecule is broken at a face."""
    turn = Rotation.from_euler("xyz", [0.4, -1.0, 2.0]).as_matrix()
    atoms = box([[1, 2, 39.7], [5, 6, 32.7]], pointing(1, sign), pbc=pbc, turn=turn)
    if pbc is True:
        atoms.wrap()
    found = result(frames([atoms] * 5, charges=CHARGES), 2 if pbc is True else None)
    expected = MOMENT**2 * (1 + sign * np.cos(7.0 * found.axis))
    np.testing.assert_allclose(found.panels[0].curves[0].values, expected, atol=1e-9)
    np.testing.assert_allclose(found.panels[0].curves[0].errors, 0, atol=1e-9)
    steps = np.diff(found.axis)
    np.testing.assert_allclose(steps, found.axis[0])
    assert found.axis[-1] <= 3.0 < found.axis[-1] + found.axis[0]
    extent = np.ptp((atoms.positions @ turn.T)[:, 2])
    assert found.axis[0] == pytest.approx(2 * np.pi / (40 if pbc is True else 2 * extent))


def test_molecules_that_do_not_feel_each_other_have_a_third_of_the_squared_dipole():
    rng = np.random.default_rng(1)
    grid = np.stack(np.meshgrid(range(3), range(3), range(8), indexing="ij"), -1).reshape(-1, 3) * [4.0, 4.3, 5.0]
    made = []
    for _ in range(60):
        atoms = box(grid + rng.uniform(-0.8, 0.8, grid.shape), Rotation.random(len(grid), random_state=rng))
        atoms.set_velocities(rng.normal(size=(len(atoms), 3)))
        atoms.set_momenta(atoms.get_momenta() * np.sqrt(300 / atoms.get_temperature()))
        made.append(atoms)
    found = result(frames(made, charges=CHARGES), 2)
    values, errors = found.panels[0].curves[0].values, found.panels[0].curves[0].errors
    assert np.mean(np.abs(values - MOMENT**2 / 3) < 2 * errors) > 0.75
    assert values.mean() == pytest.approx(MOMENT**2 / 3, rel=0.08)  # two standard errors
    response = found.panels[1].curves[0].values
    kelvin = found.numbers["temperature (K)"]
    factor = 4 * np.pi * 14.399645 * len(grid) / (atoms.get_volume() * units.kB * kelvin)
    np.testing.assert_allclose(response, factor * values, rtol=1e-5)


def test_dipoles_need_water_charges_an_axis_and_a_wave_number():
    atoms = box([[1, 2, 3]], pointing(1))
    with pytest.raises(InputError, match=r"dipole_correlation needs charges; set charges=\{O"):
        result(frames([atoms]), 2)
    with pytest.raises(InputError, match="dipole_correlation needs water"):
        result(frames([atoms[:2]], charges=CHARGES), 2)
    with pytest.raises(InputError, match="dipole_correlation needs a slab"):
        result(frames([atoms], charges=CHARGES))
    with pytest.raises(InputError, match=r"first wave number is 0\.157 1/Å; set k_max larger"):
        result(frames([atoms], charges=CHARGES), 2, k_max=0.1)


def test_wave_numbers_of_a_breathing_cell_are_those_of_its_mean():
    made = [box([[1, 2, 0.1 * height], [5, 6, 0.35 * height]], pointing(1, 1), height) for height in (36.0, 44.0)]
    found = result(frames(made, charges=CHARGES), 2)
    assert found.axis[0] == pytest.approx(2 * np.pi / 40)
    expected = MOMENT**2 * (1 + np.cos(2 * np.pi * 0.25 * np.arange(1, len(found.axis) + 1)))
    np.testing.assert_allclose(found.panels[0].curves[0].values, expected, atol=1e-9)
