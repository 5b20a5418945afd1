"""`sognet analyze`: from a file to tables, figures and sentences."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.io import write
from omegaconf import OmegaConf

from sognet.cli.configuration import CONFIGURATION
from sognet.errors import InputError
from sognet.trajectories.command import analyze_trajectory
from sognet.trajectories.frames import atoms_frame


def analyzed(folder: Path, trajectory, **values) -> Path:
    config = OmegaConf.load(Path(CONFIGURATION) / "analyze.yaml")
    values = {"trajectory": str(trajectory), "folder": str(folder)} | values
    analyze_trajectory(OmegaConf.merge(config, values))
    return folder


def salt(n_frames=200, pbc=True) -> list[Atoms]:
    """Random walks of Na and Cl, as `sognet simulate` writes trajectories."""
    rng = np.random.default_rng(0)
    places, frames = rng.uniform(0, 12, (20, 3)), []
    for k in range(n_frames):
        velocities = rng.standard_normal((20, 3))
        places = places + 0.1 * velocities
        atoms = Atoms("NaCl" * 10, positions=places, cell=[12, 12, 12], pbc=pbc)
        atoms.set_velocities(velocities / (1000 * units.fs))
        atoms.info |= {"time_ps": 0.1 * k, "step": k}
        atoms.calc = SinglePointCalculator(atoms, energy=0.0, charges=np.tile([1.0, -1.0], 10))
        frames.append(atoms)
    return frames


@pytest.fixture(scope="module")
def trajectory(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("salt") / "trajectory.extxyz"
    write(path, salt(), format="extxyz")
    return path


def columns(path: Path) -> dict[str, list[str]]:
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows] for name in rows[0]}


def test_tables_figures_and_sentences_of_what_the_trajectory_allows(trajectory, tmp_path, capsys):
    folder = analyzed(tmp_path, trajectory)
    said = capsys.readouterr().out
    assert f"{trajectory}: 20 atoms, 200 frames" in said
    assert "diffusion of Na: " in said
    assert {"r (Å)", "g Na-Cl", "error of g Na-Cl", "coordination Cl around Na"} <= set(columns(folder / "rdf.csv"))
    assert {"lag (ps)", "MSD Na (Å²)", "error of MSD Na (Å²)"} <= set(columns(folder / "msd.csv"))
    numbers = json.loads((folder / "analysis.json").read_text())
    assert numbers["frames"] == 200
    assert numbers["msd"]["diffusion"]["Na"]["error (m²/s)"] > 0
    assert set(columns(folder / "charge_structure.csv")) == {
        "k (1/Å)", "S (e²)", "error of S (e²)", "screening", "error of screening",
    }  # fmt: skip
    assert "left out: profiles needs a slab" in said
    for name in ("rdf", "msd", "charge_structure", "vibrations", "infrared"):
        assert (folder / f"{name}.png").stat().st_size > 5000


def test_frames_are_skipped_and_times_given(trajectory, tmp_path, capsys):
    folder = analyzed(tmp_path, trajectory, quantities=["msd"], skip=10, every=2, interval=50)
    assert "95 frames" in capsys.readouterr().out
    assert not (folder / "rdf.csv").exists()
    assert float(columns(folder / "msd.csv")["lag (ps)"][0]) == pytest.approx(0.1)


def test_fixed_atoms_have_no_temperature():
    atoms = salt(1)[0]
    velocities = atoms.get_velocities()
    velocities[:10] = 0
    atoms.set_velocities(velocities)
    free = atoms_frame(atoms, "free", 0).temperature
    atoms.set_constraint(FixAtoms(range(10)))
    assert atoms_frame(atoms, "fixed", 0).temperature == pytest.approx(free * 57 / 30)


def test_one_frame_gives_structure_without_errors(tmp_path, capsys):
    write(tmp_path / "one.xyz", salt(1), format="extxyz")
    folder = analyzed(tmp_path / "out", tmp_path / "one.xyz")
    assert set(columns(folder / "rdf.csv")["error of g Na-Cl"]) == {""}
    assert "left out: msd needs at least two frames" in capsys.readouterr().out
    with pytest.raises(InputError, match="msd needs at least two frames"):
        analyzed(tmp_path / "out", tmp_path / "one.xyz", quantities=["msd"])


def test_an_atom_alone_is_analyzed_but_for_its_pairs(tmp_path, capsys):
    write(tmp_path / "one.xyz", [atoms[:1] for atoms in salt(20)], format="extxyz")
    folder = analyzed(tmp_path / "out", tmp_path / "one.xyz")
    assert (folder / "msd.csv").exists()
    assert "left out: rdf needs two atoms" in capsys.readouterr().out
    with pytest.raises(InputError, match="frame 0: rdf needs two atoms"):
        analyzed(tmp_path / "out", tmp_path / "one.xyz", quantities="rdf")


def test_what_cannot_be_analyzed_is_refused(trajectory, tmp_path):
    varying = [Atoms("Ar2", positions=[[0, 0, 0], [3, 0, 0]]), Atoms("Ar3", positions=np.eye(3))]
    write(tmp_path / "varying.xyz", varying, format="extxyz")
    with pytest.raises(InputError, match=r"frame 1: other atoms than in .*frame 0 \(3 and 2"):
        analyzed(tmp_path, tmp_path / "varying.xyz")
    with pytest.raises(InputError, match="frame 0: msd needs times; set interval="):
        analyzed(tmp_path, tmp_path / "varying.xyz@:1", quantities=["msd"])
    with pytest.raises(InputError, match="no rfd; there are rdf, msd, profiles"):
        analyzed(tmp_path, trajectory, quantities=["rfd"])
    with pytest.raises(InputError, match="no frame is left with skip=1000"):
        analyzed(tmp_path, trajectory, skip=1000)
    for fit in ([0.5], [0.9, 0.5], 0.5, ["a", "b"]):
        with pytest.raises(InputError, match=r"fit must be \[first,last\] in ps, got "):
            analyzed(tmp_path, trajectory, fit=fit)
    with pytest.raises(InputError, match="every must be a whole number from 1 on"):
        analyzed(tmp_path, trajectory, every=0)
    with pytest.raises(InputError, match="needs trajectory=<file>"):
        analyze_trajectory(OmegaConf.load(Path(CONFIGURATION) / "analyze.yaml"))
    with pytest.raises(InputError, match="no charge of Cl"):
        analyzed(tmp_path, trajectory, charges={"Na": 1})
