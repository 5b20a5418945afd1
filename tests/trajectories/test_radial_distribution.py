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


def test_ideal_gas_in_a_triclinic_cell_has_none_with_the_errors_of_independent_pairs():
    rng, n_frames = np.random.default_rng(7), 600
    gas = [
        Atoms("Na20Cl30", scaled_positions=rng.uniform(-2, 3, (50, 3)), cell=TRICLINIC, pbc=True)
        for _ in range(n_frames)
    ]
    found = result(gas, width=0.5)
    shells = 4 / 3 * np.pi * np.diff(np.append(found.axis - 0.25, found.axis[-1] + 0.25) ** 3)
    for name, n_pairs in {"Na-Na": 190, "Na-Cl": 600, "Cl-Cl": 435}.items():
        curve = curves(found)[name]
        poisson = 1 / np.sqrt(n_pairs * n_frames * shells / 720)
        assert np.abs((curve.values - 1) / poisson).max() < 4
        assert 0.6 < np.mean(curve.errors / poisson) < 1.4


def test_distances_go_to_half_the_shortest_height_and_to_ten():
    pair = Atoms("Ar2", positions=np.eye(3)[:2], cell=TRICLINIC, pbc=True)
    height = 720 / np.linalg.norm(np.cross(TRICLINIC, np.roll(TRICLINIC, -1, axis=0)), axis=1).max()
    assert result([pair]).axis[-1] == pytest.approx(0.5 * height, abs=0.05)
    assert result([pair.repeat(4)]).axis[-1] == pytest.approx(10, abs=0.05)


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


def test_density_is_that_of_each_frame_where_the_cell_breathes():
    """g of one pair is V over the volume of the shell, averaged over frames."""
    pairs = [Atoms("NaCl", positions=[[0, 0, 0], [3.02, 0, 0]], cell=[side] * 3, pbc=True) for side in (10.0, 12.0)]
    curve = curves(result(pairs, r_max=4.0))["Na-Cl"]
    shell = 4 / 3 * np.pi * (3.05**3 - 3.0**3)
    assert curve.values[60] == pytest.approx((10.0**3 + 12.0**3) / 2 / shell)
