"""Charge structure factors by hand and of a crystal."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from trajectory_frames import frames

from sognet.long_range import COULOMB_CONSTANT
from sognet.trajectories.charge_structure import ChargeStructure, half_sphere

TRICLINIC = np.array([[9.0, 0, 0], [2.5, 8.0, 0], [-1.5, 2.0, 10.0]])


def result(all_frames, k_max):
    quantity = ChargeStructure(all_frames[0], 8, k_max)
    for frame in all_frames:
        quantity.add(frame)
    return quantity, quantity.result()


def test_two_charges_by_hand_in_a_triclinic_cell():
    pair = Atoms("NaCl", positions=[[1, 2, 3], [4.5, 2.2, 1]], cell=TRICLINIC, pbc=True)
    quantity, found = result(frames([pair], charges={"Na": 1, "Cl": -1}), 1.0)
    apart = pair.positions[1] - pair.positions[0]
    k = quantity.modes @ (2 * np.pi * np.linalg.inv(TRICLINIC).T)
    by_hand = (2 - 2 * np.cos(k @ apart)) / 2
    smallest = np.argmin(np.linalg.norm(k, axis=1))
    close = np.linalg.norm(k, axis=1) < 1.49 * np.linalg.norm(k[smallest])
    assert found.panels[0].curves[0].values[0] == pytest.approx(by_hand[close].mean())


def test_half_a_sphere_has_one_of_each_pair():
    modes = half_sphere(TRICLINIC, 1.5)
    k = modes @ (2 * np.pi * np.linalg.inv(TRICLINIC).T)
    everything = np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3), -1).reshape(-1, 3)
    lengths = np.linalg.norm(everything @ (2 * np.pi * np.linalg.inv(TRICLINIC).T), axis=1)
    assert len(modes) == ((lengths <= 1.5).sum() - 1) / 2
    assert (np.linalg.norm(k, axis=1) <= 1.5).all()
    assert len({tuple(m) for m in modes} | {tuple(-m) for m in modes}) == 2 * len(modes)


def test_crystal_has_bragg_peaks_as_high_as_its_number_of_atoms():
    crystal = bulk("NaCl", "rocksalt", a=5.64, cubic=True).repeat(2)
    quantity, found = result(frames([crystal], charges={"Na": 1, "Cl": -1}), 2.0)
    curve = found.panels[0].curves[0].values * quantity._sizes
    bragg = np.sqrt(3) * 2 * np.pi / 5.64
    peak = np.argmin(np.abs(found.axis - bragg))
    assert curve[peak] == pytest.approx(4 * len(crystal))  # four of the eight directions (±1, ±1, ±1)
    assert np.abs(np.delete(curve, peak)).max() < 1e-9


def test_ideal_gas_does_not_screen():
    rng = np.random.default_rng(0)
    gas = []
    for _ in range(400):
        atoms = Atoms("Na10Cl10", scaled_positions=rng.uniform(size=(20, 3)), cell=TRICLINIC, pbc=True)
        atoms.set_momenta(rng.standard_normal((20, 3)) * np.sqrt(atoms.get_masses()[:, None] * units.kB * 500))
        gas.append(atoms)
    _, found = result(frames(gas, charges={"Na": 1, "Cl": -1}), 1.5)
    factor = found.panels[0].curves[0]
    assert np.all(np.abs(factor.values - 1) < 4.5 * factor.errors)
    temperature = found.numbers["temperature (K)"]
    assert temperature == pytest.approx(500 * 20 / 19, rel=0.02)
    k = np.linalg.norm(2 * np.pi * np.linalg.inv(TRICLINIC), axis=0).min()
    expected = 4 * np.pi * COULOMB_CONSTANT * 20 / (720 * k**2 * units.kB * temperature)
    assert found.panels[1].curves[0].values[0] == pytest.approx(expected, rel=0.6)


def test_screening_is_that_of_the_wave_vectors_and_volume_of_each_frame():
    """4π k_e |Σ q exp(ik·r)|² / V k² kT of a pair in cells of two sizes, with wave vectors by cross products."""
    made, expected, kelvin = [], [], []
    for scale in (1.0, 1.1):
        pair = Atoms("NaCl", positions=[[1, 2, 3], [4.5, 2.2, 1]], cell=scale * TRICLINIC, pbc=True)
        pair.set_velocities([[0.01, 0, 0], [0, 0.01 * scale, 0]])
        a, b, c = pair.cell.array
        volume = abs(a @ np.cross(b, c))
        reciprocal = 2 * np.pi * np.array([np.cross(b, c), np.cross(c, a), np.cross(a, b)]) / volume
        apart, squared = pair.positions[1] - pair.positions[0], (reciprocal**2).sum(1)
        shell = squared < 1.5**2 * squared.min()
        assert shell.tolist() == [True, True, True]
        others = np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1], [1, -1, 0], [0, 1, -1], [1, 0, -1]]) @ reciprocal
        k = np.vstack([reciprocal, others[(others**2).sum(1) < 1.5**2 * squared.min()]])
        values = 4 * np.pi * 14.399645 * (2 - 2 * np.cos(k @ apart)) / (volume * (k**2).sum(1))
        expected.append(values.mean())
        kelvin.append(2 * pair.get_kinetic_energy() / (3 * units.kB))
        made.append(pair)
    _, found = result(frames(made, charges={"Na": 1, "Cl": -1}), 1.2)
    assert found.numbers["screening"] == pytest.approx(np.mean(expected) / (units.kB * np.mean(kelvin)), rel=1e-6)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_about_three_hundred_wave_vectors_are_taken_where_no_largest_is_given(scale):
    pair = Atoms("NaCl", positions=[[1, 2, 3], [4.5, 2.2, 1]], cell=scale * TRICLINIC, pbc=True)
    quantity, _ = result(frames([pair], charges={"Na": 1, "Cl": -1}), None)
    assert len(quantity.modes) == pytest.approx(300, rel=0.1)
