"""Trajectories in H5MD: valid to other programs and whole, also where the writer is killed or the disk is full."""

import os
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import h5py
import numpy as np
import pytest
from ase import units
from ase.io import write
from simulations import NVE, begun
from structures import random_atoms

from sognet.data.io.h5md import h5md_frames
from sognet.errors import InputError
from sognet.simulation import h5md_trajectory
from sognet.simulation.h5md_trajectory import COUNT, H5MDTrajectory

READ = """
import sys
from pathlib import Path

from sognet.data.io.h5md import h5md_frames

list(h5md_frames(Path(sys.argv[1])))
"""

ENDLESS = """
import sys
from ase.io import read
from pathlib import Path
from sognet.simulation.h5md_trajectory import H5MDTrajectory
atoms, file, step = read(sys.argv[1]), H5MDTrajectory(Path(sys.argv[2])), 0
while True:
    file.write(atoms, {"energy": float(step), "forces": atoms.positions + step}, step=step, time_ps=0.1 * step)
    step += 1
"""

HOLDS = """
import sys, h5py
with h5py.File(sys.argv[1]) as file:
    print(len(file["particles/all/position/step"]), flush=True)
    input()
"""


def put(file: H5MDTrajectory, steps) -> None:
    atoms = random_atoms()
    for k in steps:
        file.write(atoms, {"energy": float(k), "forces": np.full((12, 3), k)}, step=k, time_ps=0.1 * k)


def steps_of(path) -> list[int]:
    frames = list(h5md_frames(path))
    for frame in frames:
        assert frame.get_potential_energy() == frame.info["step"]
        np.testing.assert_allclose(frame.get_forces(), frame.info["step"], rtol=1e-12)
    return [frame.info["step"] for frame in frames]


def test_a_file_has_what_the_standard_asks_for(tmp_path):
    """Names, shapes and units of H5MD 1.1, as MDAnalysis reads them."""
    simulation = begun(tmp_path, replace(NVE, trajectory="h5md"))
    simulation.run()
    atoms = simulation.atoms
    with h5py.File(tmp_path / "trajectory.h5md") as file:
        assert file["h5md"].attrs["version"].tolist() == [1, 1]
        assert {"author", "creator"} <= set(file["h5md"])
        particles = file["particles/all"]
        assert particles["box"].attrs["dimension"] == 3
        assert [str(b) for b in particles["box"].attrs["boundary"]] == ["periodic"] * 3
        velocities, forces = atoms.get_velocities() * 1000 * units.fs, atoms.get_forces() * units.mol / units.kJ
        expected = {
            "position": (atoms.positions, "Angstrom"),
            "velocity": (velocities, "Angstrom ps-1"),
            "force": (forces, "kJ mol-1 Angstrom-1"),
            "box/edges": (atoms.cell.array, "Angstrom"),
        }
        for name, (value, unit) in expected.items():
            np.testing.assert_allclose(particles[name]["value"][-1], value, rtol=1e-12, atol=1e-12, err_msg=name)
            assert particles[name]["value"].attrs["unit"] == unit
            assert particles[name]["step"] == particles["position/step"]
        assert particles["position/step"][:].tolist() == [0, 5, 10, 15, 20]
        np.testing.assert_allclose(particles["position/time"], [0, 0.005, 0.01, 0.015, 0.02], atol=1e-12)
        assert particles["position/time"].attrs["unit"] == "ps"
        np.testing.assert_array_equal(particles["species"], atoms.numbers)


def test_a_killed_writer_leaves_whole_frames_and_the_file_grows_on(tmp_path):
    write(tmp_path / "a.extxyz", random_atoms())
    path = tmp_path / "a.h5md"
    writer = subprocess.Popen([sys.executable, "-c", ENDLESS, str(tmp_path / "a.extxyz"), str(path)])
    while not (path.exists() and path.stat().st_size > 250_000):  # some 40 frames
        assert writer.poll() is None
        time.sleep(0.01)
    writer.kill()
    writer.wait()
    there = [frame.info["step"] for frame in h5md_frames(path)]
    assert there == list(range(len(there)))
    file = H5MDTrajectory(path)
    file.restore(0, {COUNT: np.array(len(there) - 1)})
    atoms = random_atoms()
    file.write(atoms, {"energy": -1.0}, step=len(there) - 1, time_ps=0.0)
    frames = list(h5md_frames(path))
    assert [frame.info["step"] for frame in frames] == there
    assert set(frames[-1].calc.results) == {"energy"}


@pytest.mark.parametrize("kept", [0.1, 0.97])
def test_a_file_without_its_end_is_refused_at_once(kept, tmp_path):
    """As of a copy that was interrupted: HDF5 would wait for what a writer may still bring."""
    file = H5MDTrajectory(tmp_path / "a.h5md")
    put(file, range(60))
    size = file.path.stat().st_size
    os.truncate(file.path, int(kept * size))
    ended = subprocess.run([sys.executable, "-c", READ, file.path], capture_output=True, timeout=60, check=False)
    assert b"is cut off" in ended.stderr
    for read in (lambda: list(h5md_frames(file.path)), file.state, lambda: file.restore(0, {COUNT: np.array(1)})):
        with pytest.raises(InputError, match=f"is cut off, {int(kept * size)} of {size} bytes"):
            read()


def test_a_file_that_is_cut_has_the_first_frames_and_grows(tmp_path):
    """Within the first chunks, and beyond: these have 56 frames of twelve atoms."""
    whole = H5MDTrajectory(tmp_path / "whole.h5md")
    put(whole, range(60))
    assert whole.state() == {COUNT: 60}
    for kept in (1, 58):
        file = H5MDTrajectory(tmp_path / f"{kept}.h5md")
        shutil.copy(whole.path, file.path)
        file.restore(0, {COUNT: np.array(kept)})
        assert steps_of(file.path) == list(range(kept))
        put(file, range(kept, kept + 3))
        assert steps_of(file.path) == list(range(kept + 3))
    assert not list(tmp_path.glob("*.part"))
    with pytest.raises(InputError, match="has 61 frames, and had 62 when the restart file was written"):
        file.restore(0, {COUNT: np.array(62)})


def test_a_frame_counts_when_its_step_is_there(tmp_path, monkeypatch):
    """A kill between the values of a frame and its step leaves values that the next frame replaces."""
    file = H5MDTrajectory(tmp_path / "a.h5md")
    put(file, range(3))
    written = h5md_trajectory._put

    def killed(dataset, n, value):
        if dataset.name.endswith("/step"):
            raise KeyboardInterrupt
        written(dataset, n, value)

    monkeypatch.setattr(h5md_trajectory, "_put", killed)
    with pytest.raises(KeyboardInterrupt):
        put(file, [7])
    monkeypatch.undo()
    assert steps_of(file.path) == [0, 1, 2]
    put(file, [3, 4])
    assert steps_of(file.path) == [0, 1, 2, 3, 4]


def test_a_full_disk_leaves_whole_frames(tmp_path):
    file = H5MDTrajectory(tmp_path / "a.h5md")
    put(file, range(3))
    before, limits = file.path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, limits[1]))
    try:
        with pytest.raises(InputError, match=r"a.h5md: cannot be written \(File too large\); make room"):
            put(file, [3])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.path.read_bytes() == before
    put(file, [3])
    assert steps_of(file.path) == [0, 1, 2, 3]


def test_a_reader_that_holds_the_file_does_not_end_a_simulation(tmp_path):
    file = H5MDTrajectory(tmp_path / "a.h5md")
    put(file, range(3))
    held = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(file.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert held.stdout.readline() == "3\n"
    put(file, range(3, 6))
    held.communicate("\n")
    assert steps_of(file.path) == list(range(6))
