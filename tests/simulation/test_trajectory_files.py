"""Trajectories in ASE's binary format: the same frames as in extended XYZ, whole whatever happens."""

import resource
from dataclasses import replace

import numpy as np
import pytest
from ase.io import read
from simulations import NVE, begun, resumed
from structures import random_atoms

from sognet.errors import InputError
from sognet.simulation.settings import SimulationSettings
from sognet.simulation.trajectory_files import ASETrajectory
from sognet.trajectories.frames import frames_of

BINARY = replace(NVE, trajectory="traj")


def frame(k: int):
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


def test_both_formats_have_the_same_frames(tmp_path):
    for settings in (NVE, BINARY):
        begun(tmp_path / settings.trajectory, settings, random_atoms(pbc=(True, True, False))).run()
    assert not (tmp_path / "traj" / "trajectory.extxyz").exists()
    text, binary = (read(tmp_path / name / f"trajectory.{name}", ":") for name in ("extxyz", "traj"))
    assert len(text) == len(binary) == 5
    for one, other in zip(text, binary, strict=True):
        np.testing.assert_allclose(one.positions, other.positions, atol=1e-7)
        np.testing.assert_allclose(one.get_momenta(), other.get_momenta(), atol=1e-7)
        np.testing.assert_array_equal(one.pbc, other.pbc)
        assert set(one.calc.results) == set(other.calc.results) >= {"energy", "forces", "stress", "charges"}
        for name, value in one.calc.results.items():
            np.testing.assert_allclose(value, other.calc.results[name], atol=1e-7)
        assert one.info == pytest.approx(other.info)


def test_an_analysis_reads_both(tmp_path):
    begun(tmp_path, BINARY).run()
    frames = list(frames_of(tmp_path / "trajectory.traj"))
    assert [f.time for f in frames] == pytest.approx([0, 0.005, 0.01, 0.015, 0.02])
    assert all(f.velocities is not None and f.charges is not None and f.temperature > 0 for f in frames)


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


def test_a_file_that_is_too_short_is_refused(tmp_path):
    begun(tmp_path, BINARY).run()
    (tmp_path / "trajectory.traj").write_bytes(b"")
    with pytest.raises(InputError, match=r"trajectory\.traj: has 0 bytes, .* put the whole file back"):
        resumed(tmp_path, BINARY)


def test_other_formats_are_refused():
    with pytest.raises(InputError, match=r"simulation\.trajectory must be one of extxyz, traj, got 'dcd'"):
        SimulationSettings(trajectory="dcd")
