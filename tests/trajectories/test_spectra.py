"""Spectra against harmonic oscillators and Langevin's velocities, the dielectric constant against Gaussian dipoles."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms, units
from trajectory_frames import frames

from sognet.errors import InputError
from sognet.trajectories.dielectric import DielectricConstant
from sognet.trajectories.infrared import Infrared
from sognet.trajectories.vibrations import Vibrations

STEP = 0.002  # ps
LIGHT = 299792458.0 * 100 / 1e12  # cm/ps
CHARGES = {"H": 1.0, "Cl": -1.0}


def result(quantity, all_frames):
    for frame in all_frames:
        quantity.add(frame)
    return quantity.result()


def oscillator(wave_number=1500.0, n_frames=4000, amplitude=0.05, cell=None):
    """HCl that vibrates along z, with one frame every 2 fs."""
    omega = 2 * np.pi * wave_number * LIGHT  # 1/ps
    masses = Atoms("HCl").get_masses()
    share = np.array([masses[1], -masses[0]])[:, None] / masses.sum() * [0, 0, 1]
    made = []
    for k in range(n_frames):
        atoms = Atoms("HCl", positions=[[2, 2, 3.3], [2, 2, 2]], cell=cell, pbc=cell is not None)
        atoms.positions += amplitude * np.cos(omega * STEP * k) * share
        atoms.set_velocities(-amplitude * omega * np.sin(omega * STEP * k) * share / (1000 * units.fs))
        made.append(atoms)
    return frames(made, STEP, charges=CHARGES)


def test_oscillator_has_a_peak_at_its_wave_number_and_three_vibrations_per_atom():
    all_frames = oscillator()
    found = result(Vibrations(all_frames[0], 8, 10.0), all_frames)
    hydrogen, chlorine = found.panels[0].curves
    spacing = found.axis[1]
    assert spacing == pytest.approx(10, rel=1e-3)
    assert abs(found.axis[hydrogen.values.argmax()] - 1500) <= spacing
    total = hydrogen.values + chlorine.values
    assert spacing * (total.sum() - 0.5 * total[[0, -1]].sum()) == pytest.approx(3)
    masses = all_frames[0].masses
    assert hydrogen.values.sum() / chlorine.values.sum() == pytest.approx(masses[1] / masses[0], rel=1e-3)


def test_langevin_velocities_have_their_lorentzian_with_errors_that_cover_it():
    rng, rate, n_frames = np.random.default_rng(0), 2.0, 20_000  # 1/ps
    keep, velocity = np.exp(-rate * 0.02), rng.standard_normal((10, 3))
    template = frames([Atoms("Ar10", positions=np.zeros((10, 3)), cell=[9, 9, 9], pbc=True)])[0]
    quantity = Vibrations(template, 8, 2.0)
    for k in range(n_frames):
        quantity.add(replace(template, index=k, time=0.02 * k, velocities=velocity))
        velocity = keep * velocity + np.sqrt(1 - keep**2) * rng.standard_normal((10, 3))
    found = quantity.result()
    omega = 2 * np.pi * found.axis * LIGHT
    lorentzian = 3 * LIGHT * 2 * 2 * rate / (rate**2 + omega**2)
    curve, low = found.panels[0].curves[0], slice(1, 40)
    deviation = (curve.values / lorentzian - 1)[low]
    assert np.abs(deviation).max() < 0.15
    assert 0.45 < np.mean(np.abs(curve.values - lorentzian)[low] < 1.3 * curve.errors[low]) < 0.98


def test_a_molecule_that_flies_away_vibrates_as_one_at_rest():
    at_rest = oscillator(n_frames=600)
    flying = [replace(f, velocities=f.velocities + np.array([0, 3.0, 0])) for f in at_rest]
    expected, found = (result(Vibrations(f[0], 8, 30.0), f).panels[0].curves for f in (at_rest, flying))
    np.testing.assert_allclose(found[0].values, expected[0].values, atol=1e-6)


def test_infrared_intensity_is_that_of_the_moving_charges_by_current_and_by_dipole():
    all_frames = oscillator()
    thermal = 300 * units.kB
    all_frames = [replace(frame, temperature=300.0) for frame in all_frames]
    by_current = result(Infrared(all_frames[0], 8, 10.0), all_frames)
    dipoles = [replace(f, dipole=f.charges @ f.positions) for f in all_frames]
    by_dipole = result(Infrared(dipoles[0], 8, 10.0), dipoles)
    assert by_current.panels[0].unit == "Å²"
    areas = [found.panels[0].curves[0].values.sum() * found.axis[1] for found in (by_current, by_dipole)]
    assert areas[1] == pytest.approx(areas[0], rel=1e-3)
    mean_square = 0.5 * (0.05 * 2 * np.pi * 1500 * LIGHT) ** 2  # ⟨J²⟩ in e²Å²/ps²
    epsilon_0 = 8.8541878128e-12
    charge, angstrom, joule = 1.602176634e-19, 1e-10, 1.602176634e-19
    in_si = mean_square * (charge * angstrom / 1e-12) ** 2
    light = 299792458.0
    integral = in_si / (2 * light) / (6 * epsilon_0 * light * thermal * joule)  # ∫ S df = ⟨J²⟩/2 over f > 0: m² / m
    assert areas[0] == pytest.approx(integral / (angstrom**2 * 100), rel=2e-3)


def test_absorption_of_a_cell_is_per_volume():
    free, periodic = oscillator(n_frames=600), oscillator(n_frames=600, cell=[6, 7, 8])
    free, periodic = ([replace(f, temperature=300.0) for f in one] for one in (free, periodic))
    areas = result(Infrared(free[0], 8), free).panels[0].curves[0].values
    absorption = result(Infrared(periodic[0], 8), periodic).panels[0]
    assert absorption.unit == "1/cm"
    np.testing.assert_allclose(absorption.curves[0].values, areas / 336 * 1e8, rtol=1e-6)


def test_spectra_need_velocities_and_frames():
    still = frames([Atoms("HCl", positions=[[0, 0, 0], [0, 0, 1.3]])] * 20, STEP)
    with pytest.raises(InputError, match="frame 0: vibrations needs velocities"):
        result(Vibrations(still[0], 8), still)
    few = oscillator(n_frames=5)
    with pytest.raises(InputError, match="at least 8 frames"):
        result(Vibrations(few[0], 8), few)
    assert "up to 1668 1/cm" in remark_of_frames_every(0.01)
    assert "up to" not in remark_of_frames_every(0.002)
    assert "one segment and no errors at 834 1/cm; set resolution larger" in remark_of_frames_every(0.002)


def remark_of_frames_every(step: float) -> str:
    slow = [replace(frame, time=step * frame.index) for frame in oscillator(n_frames=20)]
    return " ".join(result(Vibrations(slow[0], 8), slow).sentences)


def test_dielectric_constant_of_gaussian_dipoles_is_covered_by_its_error():
    spread, volume, kelvin = 0.3, 1000.0, 300.0
    epsilon_0 = 8.8541878128e-12 / 1.602176634e-19 * 1e-10  # e/(V Å)
    truth = 1 + spread**2 / (epsilon_0 * volume * units.kB * kelvin)
    start = frames([Atoms("HCl", positions=np.zeros((2, 3)), cell=[10, 10, 10], pbc=True)], charges=CHARGES)[0]
    covered = []
    for seed in range(40):
        rng, quantity = np.random.default_rng(seed), DielectricConstant(start, 8)
        for k in range(300):
            moved = np.stack([spread * rng.standard_normal(3) + [0, 0, 1.0], np.zeros(3)])
            quantity.add(replace(start, index=k, positions=moved, temperature=kelvin))
        numbers = quantity.result().numbers
        covered.append(abs(numbers["dielectric constant"] - truth) < numbers["error"])
    assert 0.5 < np.mean(covered) < 0.85


def test_charged_systems_have_no_dielectric_constant():
    ion = frames([Atoms("HCl", positions=np.eye(3)[:2], cell=[9, 9, 9], pbc=True)], charges={"H": 1, "Cl": 0})[0]
    with pytest.raises(InputError, match="add up to 1 e"):
        DielectricConstant(ion, 8)


def test_an_ion_that_flies_away_absorbs_nothing():
    """The current is relative to the centre of mass; that of the whole is no vibration."""
    ions = oscillator(n_frames=600)
    ions = [replace(f, charges=np.array([1.0, 0.0]), temperature=300.0) for f in ions]
    flying = [replace(f, velocities=f.velocities + np.array([0, 3.0, 0])) for f in ions]
    expected, found = (result(Infrared(f[0], 8, 30.0), f).panels[0].curves[0].values for f in (ions, flying))
    np.testing.assert_allclose(found, expected, atol=1e-6 * expected.max())
