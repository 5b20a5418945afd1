"""Simulations in a folder: what they write, and how they go on after a kill."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from ase import Atoms, units
from ase.constraints import FixAtoms
from ase.io import read, write
from simulations import NVE, begun, hot, made, resumed
from structures import random_atoms

from sognet.errors import InputError
from sognet.simulation.files import columns_of
from sognet.simulation.initial_structure import first_atoms
from sognet.simulation.restart import RestartState
from sognet.simulation.run import Simulation
from sognet.simulation.settings import SimulationSettings

ENSEMBLES = {
    "nve": NVE,
    "langevin": replace(NVE, ensemble="nvt"),
    "nose_hoover": replace(NVE, ensemble="nvt", thermostat="nose_hoover"),
    "bussi": replace(NVE, ensemble="nvt", thermostat="bussi"),
    "npt": replace(NVE, ensemble="npt", thermostat="nose_hoover", barostat_time=200.0),
    "anisotropic": replace(NVE, ensemble="npt", thermostat="nose_hoover", barostat="anisotropic", barostat_time=200.0),
    "traj": replace(NVE, trajectory="traj"),
    "h5md": replace(NVE, trajectory="h5md"),
    "relax": replace(NVE, ensemble="relax", fmax=1e-6, cell=True),
}


def stop_after(simulation: Simulation, step: int, number: int = signal.SIGTERM) -> None:
    """Let a signal come in the middle of a step."""
    advance = simulation._advance

    def counted() -> None:
        if simulation.step + 1 == step:
            os.kill(os.getpid(), number)
        advance()

    simulation._advance = counted


def contents(path: Path) -> bytes | dict[str, bytes]:
    """Of a file; of HDF5, whose layout depends on how it came about, what is in it."""
    if path.suffix != ".h5md":
        return path.read_bytes()
    found: dict[str, bytes] = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()].tobytes()} if "shape" in dir(item) else {}))
    return found


def assert_same_folders(first: Path, second: Path) -> None:
    (trajectory,) = (path.name for path in first.glob("trajectory.*"))
    for name in (trajectory, "thermo.csv", "final.extxyz"):
        assert contents(first / name) == contents(second / name), name
    one, other = RestartState.read(first), RestartState.read(second)
    assert set(one.arrays) == set(other.arrays)
    for name, value in one.arrays.items():
        np.testing.assert_array_equal(value, other.arrays[name], err_msg=name)
    for state in (one, other):
        assert state.sizes.pop("trajectory.h5md", 1) > 0
    assert (one.step, one.random, one.sizes) == (other.step, other.random, other.sizes)


def test_a_trajectory_has_energies_forces_velocities_and_its_total_charge(tmp_path):
    atoms = random_atoms(pbc=False)
    atoms.info["charge"] = 1
    simulation = begun(tmp_path, NVE, atoms)
    said = simulation.run()
    frames = read(tmp_path / "trajectory.extxyz", ":")
    assert [frame.info["step"] for frame in frames] == [0, 5, 10, 15, 20]
    last = frames[-1]
    assert last.info["charge"] == 1
    assert not last.pbc.any()
    np.testing.assert_allclose(last.positions, simulation.atoms.positions, atol=1e-7)
    np.testing.assert_allclose(last.get_velocities(), simulation.atoms.get_velocities(), atol=1e-7)
    np.testing.assert_allclose(last.get_forces(), simulation.atoms.get_forces(), atol=1e-7)
    assert last.get_potential_energy() == pytest.approx(simulation.atoms.get_potential_energy(), abs=1e-9)
    assert "mean temperature" in said
    assert str(tmp_path) in said
    columns = columns_of(tmp_path / "thermo.csv")
    assert columns["time (ps)"] == pytest.approx([0, 0.005, 0.01, 0.015, 0.02])
    total = np.add(columns["potential energy (eV)"], columns["kinetic energy (eV)"])
    np.testing.assert_allclose(columns["total energy (eV)"], total, atol=1e-8)
    assert "pressure (GPa)" not in columns


def test_energy_of_a_model_is_conserved(tmp_path):
    begun(tmp_path, replace(NVE, steps=100, timestep=0.5)).run()
    columns = columns_of(tmp_path / "thermo.csv")
    kinetic = columns["kinetic energy (eV)"]
    assert np.ptp(columns["total energy (eV)"]) < 1e-4 * kinetic[0]
    assert np.ptp(kinetic) > 0.1 * kinetic[0]
    np.testing.assert_allclose(read(tmp_path / "final.extxyz").get_momenta().sum(0), 0, atol=1e-6)


@pytest.mark.parametrize("ensemble", ENSEMBLES)
@pytest.mark.parametrize("stop", [7, 13])
def test_resumed_is_uninterrupted_to_the_last_bit(ensemble, stop, tmp_path):
    """After SIGTERM at any step, and after a kill, which loses the steps since the last restart file."""
    settings = ENSEMBLES[ensemble]
    begun(tmp_path / "whole", settings).run()
    told = begun(tmp_path / "told", settings)
    stop_after(told, stop)
    with pytest.raises(SystemExit) as ended:
        told.run()
    assert ended.value.code == 128 + signal.SIGTERM
    assert RestartState.read(tmp_path / "told").step == stop
    resumed(tmp_path / "told", settings).run()
    assert_same_folders(tmp_path / "whole", tmp_path / "told")
    killed = begun(tmp_path / "killed", settings)
    killed._save = lambda: None if killed.step > 12 else Simulation._save(killed)
    stop_after(killed, 18)
    with pytest.raises(SystemExit):
        killed.run()
    resumed(tmp_path / "killed", settings).run()
    assert_same_folders(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.parametrize("pbc", [(True, True, False), (False, False, False)])
def test_open_directions_resume_to_the_last_bit(pbc, tmp_path):
    """Atoms that fly apart: neither a kept list of pairs nor a kept plan may show."""

    def atoms() -> Atoms:
        start = hot(random_atoms())
        start.pbc = pbc
        return start

    settings = replace(NVE, max_temperature=1e9)
    begun(tmp_path / "whole", settings, atoms()).run()
    told = begun(tmp_path / "told", settings, atoms())
    stop_after(told, 11)
    with pytest.raises(SystemExit):
        told.run()
    resumed(tmp_path / "told", settings, atoms()).run()
    assert_same_folders(tmp_path / "whole", tmp_path / "told")


def test_a_finished_simulation_is_made_longer(tmp_path):
    begun(tmp_path / "whole", NVE).run()
    begun(tmp_path / "parts", replace(NVE, steps=10)).run()
    resumed(tmp_path / "parts", NVE).run()
    assert_same_folders(tmp_path / "whole", tmp_path / "parts")
    resumed(tmp_path / "parts", NVE).run()
    assert_same_folders(tmp_path / "whole", tmp_path / "parts")


def test_the_last_step_is_written_once_whatever_the_interval(tmp_path):
    settings = replace(NVE, steps=7)
    begun(tmp_path, settings).run()
    resumed(tmp_path, settings).run()
    assert columns_of(tmp_path / "thermo.csv")["step"] == [0, 5, 7]
    assert [frame.info["step"] for frame in read(tmp_path / "trajectory.extxyz", ":")] == [0, 5, 7]


def test_relaxation_ends_below_the_largest_force(tmp_path):
    settings = SimulationSettings(ensemble="relax", steps=400, every=50, fmax=0.01)
    simulation = begun(tmp_path, settings, random_atoms(8))
    assert "relaxed after" in simulation.run()
    final = read(tmp_path / "final.extxyz")
    assert np.linalg.norm(final.get_forces(), axis=1).max() < 0.0101
    energies = columns_of(tmp_path / "thermo.csv")["potential energy (eV)"]
    assert energies[-1] < energies[0]
    np.testing.assert_array_equal(final.cell.array, random_atoms(8).cell.array)


def test_velocities_of_a_file_do_not_end_a_relaxation(tmp_path):
    """As of the last frame of a simulation that became too hot."""
    atoms = random_atoms(8)
    atoms.set_velocities(np.ones((8, 3)) * np.arange(8)[:, None])
    simulation = begun(tmp_path, SimulationSettings(ensemble="relax", steps=5, max_temperature=1000.0), atoms)
    simulation.run()
    assert simulation.step == 5
    assert not read(tmp_path / "final.extxyz").get_momenta().any()


def test_velocities_of_a_file_are_taken(tmp_path):
    atoms = random_atoms()
    atoms.set_velocities(np.random.default_rng(0).normal(size=(12, 3)) * 0.01)
    write(tmp_path / "a.extxyz", atoms)
    np.testing.assert_allclose(first_atoms(tmp_path / "a.extxyz").get_velocities(), atoms.get_velocities(), atol=1e-7)
    simulation = made(tmp_path / "run", NVE, first_atoms(tmp_path / "a.extxyz"))
    np.testing.assert_allclose(simulation.atoms.get_velocities(), atoms.get_velocities(), atol=1e-7)
    named = random_atoms()
    named.arrays["vel"] = atoms.get_velocities() * units.fs
    write(tmp_path / "b.extxyz", named)
    np.testing.assert_allclose(first_atoms(tmp_path / "b.extxyz").get_velocities(), atoms.get_velocities(), atol=1e-6)


def test_the_last_frame_is_taken_unless_another_is_named(tmp_path, capsys):
    frames = [random_atoms(seed=seed) for seed in range(3)]
    frames[2].info.update(charge=-1, config_type="bulk", energy=-3.0)
    frames[2].arrays["forces"] = np.ones((12, 3))
    frames[2].set_masses([2.014] * 12)
    frames[2].set_constraint(FixAtoms([1, 2]))
    write(tmp_path / "a.extxyz", frames)
    last = first_atoms(tmp_path / "a.extxyz")
    np.testing.assert_allclose(last.positions, frames[2].positions, atol=1e-7)
    assert "frame 2 of 3" in capsys.readouterr().out
    assert last.info == {"charge": -1}
    assert set(last.arrays) == {"numbers", "positions", "masses"}
    assert last.get_masses()[0] == 2.014
    assert last.constraints[0].index.tolist() == [1, 2]
    np.testing.assert_allclose(first_atoms(tmp_path / "a.extxyz", 0).positions, frames[0].positions, atol=1e-7)
    with pytest.raises(InputError, match="has 3 frames"):
        first_atoms(tmp_path / "a.extxyz", 3)
    (tmp_path / "empty.extxyz").write_text("")
    with pytest.raises(InputError, match="empty"):
        first_atoms(tmp_path / "empty.extxyz")


def test_a_field_acts(tmp_path):
    first = begun(tmp_path / "with", replace(NVE, temperature=0.0), random_atoms(pbc=False), field=[0, 0, 0.5])
    other = begun(tmp_path / "without", replace(NVE, temperature=0.0), random_atoms(pbc=False))
    assert np.abs(first.atoms.get_forces() - other.atoms.get_forces()).max() > 1e-3
    first.run()
    total = columns_of(tmp_path / "with" / "thermo.csv")["conserved energy (eV)"]
    assert np.ptp(total) < 1e-4


def test_single_atoms_fly(tmp_path):
    atoms = Atoms("Na", positions=[[0, 0, 0]])
    atoms.set_velocities([[0.01 / units.fs, 0, 0]])
    begun(tmp_path, replace(NVE, timestep=0.5), atoms).run()
    final = read(tmp_path / "final.extxyz")
    assert final.positions[0, 0] == pytest.approx(0.1)
    assert final.info["time_ps"] == pytest.approx(0.01)
    assert columns_of(tmp_path / "thermo.csv")["time (ps)"][-1] == pytest.approx(0.01)


@pytest.mark.parametrize("pbc", [True, (True, True, False)])
def test_slabs_have_a_pressure_and_no_volume(pbc, tmp_path):
    atoms = random_atoms(pbc=pbc)
    begun(tmp_path, NVE, atoms)
    columns = columns_of(tmp_path / "thermo.csv")
    assert np.isfinite(columns["pressure (GPa)"]).all()
    assert columns.get("volume (Å³)") == (pytest.approx([atoms.get_volume()]) if pbc is True else None)
