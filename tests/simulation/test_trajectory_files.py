"""Trajectories in binary formats: the same frames as in extended XYZ, whole whatever happens."""

import resource
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.constraints import FixAtoms, FixCartesian
from ase.io import read
from simulations import NVE, begun, resumed
from structures import random_atoms

from sognet.data.io.readers import iter_frames
from sognet.errors import InputError
from sognet.simulation.settings import SimulationSettings
from sognet.simulation.trajectory_files import ASETrajectory
from sognet.trajectories.frames import frames_of


def frame(k: int) -> tuple[Atoms, dict]:
    atoms = random_atoms()
    atoms.positions += k
    atoms.set_momenta(np.full((12, 3), k))
    return atoms, {"energy": float(k), "forces": np.full((12, 3), -k), "charges": np.full(12, 0.1 * k)}


def written(path, n: int) -> tuple[ASETrajectory, list[tuple[int, dict]]]:
    """A file of n frames, and what a restart file keeps after each of them."""
    file, states = ASETrajectory(path), [(0, {})]
    for k in range(n):
        file.write(*frame(k), step=k)
        states.append((file.size, file.state()))
    return file, states


def of_format(name: str) -> SimulationSettings:
    return replace(NVE, trajectory=name)


def frames_in(path) -> list[Atoms]:
    return [atoms for _, atoms in iter_frames(path)]


@pytest.mark.parametrize("ending", ["traj", "h5md"])
@pytest.mark.parametrize("pbc", [(True, True, False), False])
def test_all_formats_have_the_same_frames(ending, pbc, tmp_path):
    for name in ("extxyz", ending):
        atoms = random_atoms(pbc=pbc)
        atoms.info["charge"] = 1
        atoms.set_masses([2.014] * 12)
        atoms.set_constraint([FixAtoms([2]), FixCartesian([5], mask=[True, False, False])])
        begun(tmp_path / name, of_format(name), atoms).run()
    assert not (tmp_path / ending / "trajectory.extxyz").exists()
    text, binary = (frames_in(tmp_path / name / f"trajectory.{name}") for name in ("extxyz", ending))
    assert len(text) == len(binary) == 5
    for one, other in zip(text, binary, strict=True):
        np.testing.assert_array_equal(one.numbers, other.numbers)
        np.testing.assert_allclose(one.positions, other.positions, atol=1e-7)
        np.testing.assert_allclose(one.get_momenta(), other.get_momenta(), atol=1e-7)
        np.testing.assert_allclose(one.cell.array, other.cell.array, atol=1e-7)
        np.testing.assert_array_equal(one.get_masses(), other.get_masses())
        np.testing.assert_array_equal(one.pbc, other.pbc)
        assert one.get_number_of_degrees_of_freedom() == other.get_number_of_degrees_of_freedom() == 32
        expected = {"energy", "forces", "charges", *(["dipole"] if not pbc else ["stress"])}
        assert set(one.calc.results) == set(other.calc.results) == expected
        for name, value in one.calc.results.items():
            np.testing.assert_allclose(value, other.calc.results[name], atol=1e-7)
        assert one.info == pytest.approx(other.info)


@pytest.mark.parametrize("ending", ["extxyz", "traj", "h5md"])
def test_a_thermostat_that_holds_the_centre_leaves_no_constraint_in_the_frames(ending, tmp_path):
    """Which would be taken for fixed atoms by what starts from a frame."""
    begun(tmp_path, replace(of_format(ending), ensemble="nvt"))
    assert not frames_in(tmp_path / f"trajectory.{ending}")[0].constraints


@pytest.mark.parametrize("ending", ["traj", "h5md"])
def test_an_analysis_reads_all_formats(ending, tmp_path):
    begun(tmp_path, of_format(ending)).run()
    frames = list(frames_of(tmp_path / f"trajectory.{ending}"))
    assert [f.time for f in frames] == pytest.approx([0, 0.005, 0.01, 0.015, 0.02])
    assert all(f.velocities is not None and f.charges is not None and f.temperature > 0 for f in frames)
    assert len(list(frames_of(f"{tmp_path}/trajectory.{ending}@1:3"))) == 2


@pytest.mark.parametrize("kept", [1, 2, 7, 43])
def test_a_file_that_is_cut_grows_to_the_same_bytes(kept, tmp_path):
    """43 frames are more than the first table of them holds."""
    whole, states = written(tmp_path / "whole", 46)
    cut, _ = written(tmp_path / "cut", 46)
    cut.restore(*states[kept])
    assert [atoms.info["step"] for atoms in read(cut.path, ":", format="traj")] == list(range(kept))
    for k in range(kept, 46):
        cut.write(*frame(k), step=k)
    assert whole.path.read_bytes() == cut.path.read_bytes()


def test_what_a_kill_leaves_of_a_frame_is_dropped(tmp_path):
    file, states = written(tmp_path / "a", 3)
    with file.path.open("ab") as opened:
        opened.write(b"half a frame")
    assert len(read(file.path, ":", format="traj")) == 3
    file.restore(*states[3])
    file.write(*frame(3), step=3)
    assert [atoms.info["step"] for atoms in read(file.path, ":", format="traj")] == [0, 1, 2, 3]


def test_a_full_disk_leaves_whole_frames(tmp_path):
    file, _ = written(tmp_path / "a", 3)
    before, limits = file.path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in (10, 700):  # within the arrays of the frame, or within what describes them
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + room, limits[1]))
        try:
            with pytest.raises(InputError, match=r"a: cannot be written \(File too large\); make room, then continue"):
                file.write(*frame(3), step=3)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert file.path.read_bytes() == before
    assert len(read(file.path, ":", format="traj")) == 3


@pytest.mark.parametrize(
    ("ending", "said"), [("traj", "has 0 bytes, .* put the whole"), ("h5md", "cannot be read .* put the whole")]
)
def test_a_file_that_is_too_short_is_refused(ending, said, tmp_path):
    begun(tmp_path, of_format(ending)).run()
    (tmp_path / f"trajectory.{ending}").write_bytes(b"")
    with pytest.raises(InputError, match=rf"trajectory\.{ending}: {said}"):
        resumed(tmp_path, of_format(ending))


def test_other_formats_are_refused():
    with pytest.raises(InputError, match=r"simulation\.trajectory must be one of extxyz, traj, h5md, got 'dcd'"):
        SimulationSettings(trajectory="dcd")
