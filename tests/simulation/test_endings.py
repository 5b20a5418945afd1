"""Simulations that cannot go on, or cannot begin, end in one line with everything on disk."""

import os
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import read
from simulations import NVE, begun, hot, made, resumed
from structures import random_atoms

from sognet.errors import InputError
from sognet.simulation.files import GrowingFile
from sognet.simulation.restart import RESTART, RestartState
from sognet.simulation.settings import SimulationSettings


def close() -> Atoms:
    """Two atoms that fly into each other."""
    atoms = Atoms("NaCl", positions=[[0, 0, 0], [0, 0, 1.0]], pbc=False)
    atoms.set_momenta([[0, 0, 20.0], [0, 0, -20.0]])
    return atoms


@pytest.mark.parametrize(
    ("atoms", "settings", "reason"),
    [
        (lambda: hot(random_atoms()), {"max_temperature": 5000.0}, r"above simulation\.max_temperature=5000"),
        (
            lambda: hot(random_atoms(pbc=False)),
            {"max_temperature": 1e9, "max_extent": 12.0, "steps": 100},
            "it is lost",
        ),
        (close, {"max_temperature": 1e9, "timestep": 0.3, "steps": 40}, "Å apart: try a shorter"),
    ],
)
def test_what_explodes_ends_in_a_line_with_everything_on_disk(atoms, settings, reason, tmp_path):
    settings = replace(NVE, **settings)
    with pytest.raises(InputError, match=rf"stopped at step .*{reason}.*stopped\.extxyz, everything before it in"):
        begun(tmp_path, settings, atoms()).run()
    assert len(read(tmp_path / "stopped.extxyz", ":")) == 1


def test_what_is_not_finite_ends_in_a_line(tmp_path):
    simulation = begun(tmp_path, NVE)
    simulation.atoms.arrays["momenta"][3] = np.nan
    with pytest.raises(InputError, match=r"stopped at step 1 .*not finite"):
        simulation.run()
    assert len(read(tmp_path / "trajectory.extxyz", ":")) == 1
    assert RestartState.read(tmp_path).step == 0


def test_a_full_disk_ends_in_a_line_and_leaves_what_there_is(tmp_path):
    simulation = begun(tmp_path, NVE)
    simulation.trajectory.path = Path("/dev/full")
    with pytest.raises(InputError, match=r"/dev/full: cannot be written \(No space left"):
        simulation.run()
    assert len(read(tmp_path / "trajectory.extxyz", ":")) == 1
    resumed(tmp_path, NVE).run()
    assert len(read(tmp_path / "trajectory.extxyz", ":")) == 5


def test_files_that_do_not_belong_to_a_restart_file_are_refused(tmp_path):
    begun(tmp_path, NVE)
    with pytest.raises(InputError, match="has a simulation already"):
        begun(tmp_path, NVE)
    with pytest.raises(InputError, match="has 12 atoms, and the structure has 8"):
        resumed(tmp_path, NVE, random_atoms(8))
    (tmp_path / "thermo.csv").write_text("")
    with pytest.raises(InputError, match="put the whole file back"):
        resumed(tmp_path, NVE)
    (tmp_path / RESTART).write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(InputError, match="cannot be read"):
        resumed(tmp_path, NVE)
    with pytest.raises(InputError, match=r"no restart\.npz"):
        RestartState.read(tmp_path / "elsewhere")


def test_unknown_elements_are_named_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match="has Cu; the model knows Na, Cl"):
        made(tmp_path, NVE, Atoms("Cu"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"ensemble": "nvp"}, "simulation.ensemble must be one of nve"),
        ({"ensemble": "npt", "thermostat": "bussi"}, "nose_hoover only"),
        ({"steps": 0}, "simulation.steps must be at least 1"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"timestep": -1.0}, "simulation.timestep must be positive"),
        ({"temperature": 0.0}, "simulation.temperature must be positive"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, reason):
    with pytest.raises(InputError, match=reason):
        SimulationSettings(**settings)


def test_what_cannot_be_written_whole_is_taken_back(tmp_path):
    file = GrowingFile(tmp_path / "a")
    file.append("one\n")
    file.append("two\n")
    file.cut(4)
    assert (tmp_path / "a").read_text() == "one\n"


def test_half_a_piece_is_taken_back(tmp_path):
    file, limits = GrowingFile(tmp_path / "a"), resource.getrlimit(resource.RLIMIT_FSIZE)
    file.append("one\n")
    resource.setrlimit(resource.RLIMIT_FSIZE, (6, limits[1]))
    try:
        with pytest.raises(InputError, match=r"a: cannot be written \(File too large\)"):
            file.append("two\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "a").read_text() == "one\n"
    file.cut(0)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(("where", "name"), [(os, "fsync"), (Path, "replace"), (np, "savez")])
def test_a_restart_file_that_cannot_be_written_leaves_the_one_before(where, name, tmp_path, monkeypatch):
    """A kill at that point as well: what is there is whole, whatever becomes of the next one."""
    simulation = begun(tmp_path, NVE)

    def fails(*args, **kwargs):
        raise OSError(5, "Input/output error")

    simulation.step = 10
    monkeypatch.setattr(where, name, fails)
    with pytest.raises(InputError, match=r"restart\.npz: cannot be written \(Input/output error\); make room"):
        simulation._save()
    monkeypatch.undo()
    assert RestartState.read(tmp_path).step == 0
    assert not list(tmp_path.glob("*.part"))
