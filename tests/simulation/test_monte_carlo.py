"""The Monte Carlo barostat samples the volumes that Boltzmann says, here of a crystal that is only stretched."""

from itertools import product

import numpy as np
import pytest
from ase import units
from springs import spring_crystal

from sognet.simulation.engines.callback import Callback, Found
from sognet.simulation.engines.monte_carlo import MonteCarloBarostat
from sognet.simulation.settings import SimulationSettings

KELVIN, GIGAPASCALS = 600.0, 5.0


def barostat_of(kind: str, seed: int = 0) -> MonteCarloBarostat:
    settings = SimulationSettings(
        ensemble="npt", thermostat="nose_hoover", barostat=kind, temperature=KELVIN, pressure=GIGAPASCALS
    )
    return MonteCarloBarostat(Callback(spring_crystal(2), stress=False), settings, np.random.default_rng(seed))


class IdealGas(Callback):
    def __call__(self, positions, cell=None) -> Found:
        self.move(positions, cell)
        return Found(0.0, np.zeros_like(positions), None)


def test_volumes_of_an_ideal_gas_are_those_of_its_law():
    """V is distributed as V^N exp(−PV/kT): its mean is (N + 1) kT/P, and its variance (N + 1) (kT/P)²."""
    barostat, volumes = barostat_of("isotropic"), []
    atoms = barostat.callback.atoms
    barostat.callback = IdealGas(atoms, stress=False)
    barostat.pressure = 9 * units.kB * KELVIN / atoms.get_volume()
    for _ in range(8000):
        barostat.attempt()
        volumes.append(atoms.get_volume())
    means = np.array([[block.mean(), block.var()] for block in np.array_split(volumes[500:], 10)])
    (volume, variance), error = means.mean(0), means.std(0, ddof=1) / 10**0.5
    unit = units.kB * KELVIN / barostat.pressure
    assert error[0] < 0.03 * volume
    assert abs(volume - 9 * unit) < 4 * error[0]
    assert abs(variance - 9 * unit**2) < 4 * error[1]


def lengths_of_ensemble() -> np.ndarray:
    """Mean lengths (3,) in Å of the crystal of springs, by sums over a grid of stretches."""
    atoms = spring_crystal(2)
    side, stretches = atoms.cell.lengths()[0], np.array([*product(np.linspace(0.8, 1.2, 13), repeat=3)])
    enthalpies = []
    for stretch in stretches:
        atoms.set_cell(np.diag(side * stretch), scale_atoms=True)
        enthalpies.append(atoms.get_potential_energy() + GIGAPASCALS * units.GPa * atoms.get_volume())
    boltzmann = np.exp(-(np.array(enthalpies) - min(enthalpies)) / (units.kB * KELVIN))
    weights = boltzmann * stretches.prod(1) ** len(atoms)
    return side * (weights / weights.sum()) @ stretches


def test_a_crystal_is_stretched_along_each_axis_by_itself():
    barostat, found = barostat_of("anisotropic"), []
    for trial in range(1000):
        barostat.attempt()
        if trial >= 100:
            found.append(barostat.callback.atoms.cell.lengths())
    means = np.array([block.mean(0) for block in np.array_split(found, 10)])
    error = means.std(0, ddof=1) / 10**0.5
    assert (error < 0.06).all()
    assert np.std(found, axis=0).min() > 0.05
    np.testing.assert_array_less(np.abs(means.mean(0) - lengths_of_ensemble()), 4 * error)


def test_the_largest_change_is_such_that_trials_are_accepted_and_refused():
    barostat = barostat_of("isotropic")
    barostat.largest *= 0.05
    volumes = []
    for _ in range(500):
        barostat.attempt()
        volumes.append(barostat.callback.atoms.get_volume())
    accepted = np.mean(np.diff(volumes[-150:]) != 0)
    assert 0.2 < accepted < 0.85


def test_a_refused_trial_leaves_atoms_and_results_as_they_were():
    barostat = barostat_of("anisotropic")
    barostat.pressure = 1e6
    atoms = barostat.callback.atoms
    energy, positions, cell = atoms.get_potential_energy(), atoms.get_positions(), atoms.cell.array.copy()
    while barostat.accepted.sum() == barostat.tried.sum():
        energy, positions, cell = atoms.get_potential_energy(), atoms.get_positions(), atoms.cell.array.copy()
        barostat.attempt()
    np.testing.assert_array_equal(atoms.positions, positions)
    np.testing.assert_array_equal(atoms.cell.array, cell)
    assert atoms.calc.results["energy"] == energy


@pytest.mark.parametrize("kind", ["isotropic", "anisotropic"])
def test_a_restored_barostat_makes_the_same_trials(kind):
    first, second = barostat_of(kind, 3), barostat_of(kind, 3)
    for _ in range(33):
        first.attempt()
        second.attempt()
    again = barostat_of(kind, 3)
    again.restore(second.state())
    again.rng, again.callback = second.rng, second.callback
    for _ in range(33):
        first.attempt()
        again.attempt()
    np.testing.assert_array_equal(again.callback.atoms.cell.array, first.callback.atoms.cell.array)
