"""Radial distribution functions against an ideal gas and a crystal."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from trajectory_frames import frames

from sognet.trajectories.radial_distribution import RadialDistribution

TRICLINIC = np.array([[9.0, 0, 0], [2.5, 8.0, 0], [-1.5, 2.0, 10.0]])


def result(structures, r_max=None, width=0.05):
    all_frames = frames(structures)
    quantity = RadialDistribution(all_frames[0], 8, r_max, width)
    for frame in all_frames:
        quantity.add(frame)
    return quantity.result()


def curves(found, panel=0):
    return {curve.name: curve for curve in found.panels[panel].curves}


def test_ideal_gas_in_a_triclinic_cell_has_none():
    rng = np.random.default_rng(0)
    gas = [
        Atoms("Na20Cl30", scaled_positions=rng.uniform(-2, 3, (50, 3)), cell=TRICLINIC, pbc=True) for _ in range(300)
    ]
    found = result(gas, width=0.5)
    for curve in curves(found).values():
        deviation = (curve.values - 1)[2:] / curve.errors[2:]
        assert np.abs(deviation).max() < 5
        assert 0.3 < np.mean(np.abs(deviation) < 1) <= 1.0
        assert np.abs(curve.values[-1] - 1) < 0.03


def test_rock_salt_has_the_shells_of_the_lattice():
    crystal = bulk("NaCl", "rocksalt", a=5.64).repeat((3, 3, 3))  # rhombohedral
    found = result([crystal], r_max=5.0)
    g, n = curves(found), curves(found, 1)
    r = found.axis
    assert abs(r[g["Na-Cl"].values.argmax()] - 2.82) < 0.05
    assert abs(r[g["Na-Na"].values.argmax()] - 3.988) < 0.05
    at = np.searchsorted(r, [3.5, 4.5, 4.95])
    np.testing.assert_allclose(n["Cl around Na"].values[at], [6, 6, 14])
    np.testing.assert_allclose(n["Na around Na"].values[at], [0, 12, 12])


def test_images_beyond_half_the_cell_are_counted():
    n = curves(result([bulk("NaCl", "rocksalt", a=5.64)], r_max=4.5), 1)
    assert n["Cl around Na"].values[-1] == 6
    wrapped = curves(result([bulk("NaCl", "rocksalt", a=5.64).repeat(2)], r_max=4.5), 1)
    assert wrapped["Na around Na"].values[-1] == 12


def test_a_cluster_has_neighbours_and_no_density():
    found = result([Atoms("OHH", positions=[[0, 0, 0], [0.96, 0, 0], [0, 0.96, 0]])])
    assert found.panels[0].unit == "1/Å"
    assert curves(found, 1)["H around O"].values[-1] == pytest.approx(2)
    assert np.sum(curves(found)["O-H"].values) * 0.05 == pytest.approx(2)
