"""Structures, trainings and simulations of the experiment: each step is kept, and an interrupted one goes on."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.geometry import find_mic
from ase.io import write

from sognet.data import water
from sognet.trajectories.tables import read_table

FULL_RATE = "module.kernel_lr_factor=1"  # of all figures here
MODELS = {"long range": [FULL_RATE], "short range": ["model/long_range=none"]}
CHARGES = {"O": -0.8476, "H": 0.4238}
"""e, of SPC/E water; for the charge structure factor of all trajectories alike."""


def starts(folder: Path) -> dict[str, Path]:
    """Files by name: a test frame of 64 molecules, eight of its cells, a slab of it, and all frames of the data."""
    files = {name: folder / f"{name}.extxyz" for name in ("bulk", "large", "slab", "data")}
    if not files["data"].exists():
        splits = water()
        frames = [
            Atoms(s.numbers, s.positions, cell=s.cell, pbc=s.pbc) for s in [*splits.train, *splits.val, *splits.test]
        ]
        bulk = frames[-len(splits.test)]
        write(files["bulk"], bulk)
        write(files["large"], bulk.repeat(2))
        write(files["slab"], slab_of(bulk))
        write(files["data"], frames)
    return files


def slab_of(bulk: Atoms) -> Atoms:
    """The same molecules, whole, open along the third lattice vector."""
    atoms = bulk.copy()
    atoms.wrap()
    oxygens, hydrogens = (np.flatnonzero(atoms.symbols == symbol) for symbol in "OH")
    for hydrogen in hydrogens:
        bonds, lengths = find_mic(atoms.positions[hydrogen] - atoms.positions[oxygens], atoms.cell, atoms.pbc)
        nearest = lengths.argmin()
        atoms.positions[hydrogen] = atoms.positions[oxygens[nearest]] + bonds[nearest]
    atoms.cell[2] = 0
    atoms.pbc[2] = False
    return atoms


def train(folder: Path, name: str, epochs: int) -> Path:
    """Folder of a model of the small size."""
    run = folder / name.replace(" ", "_")
    if not (run / "summary.json").exists():
        words = ["dataset=water", "model=small", *MODELS[name], f"epochs={epochs}", "logger=csv"]
        sognet("train", *([f"resume={run}"] if (run / "config.yaml").exists() else words), f"hydra.run.dir={run}")
    return run


def simulate(run: Path, picoseconds: float, timestep: float, *words: str) -> Path:
    """Folder of a simulation of a length in ps by steps in fs; words say of what."""
    steps = round(1000 * picoseconds / timestep)
    if not (run / "restart.npz").exists():
        sognet(
            "simulate", *words, f"simulation.steps={steps}", f"simulation.timestep={timestep}", f"hydra.run.dir={run}"
        )
    elif read_table(run / "thermo.csv")["step"][-1] < steps or not (run / "final.extxyz").exists():
        sognet("simulate", f"resume={run}", f"simulation.steps={steps}")
    return run


def analysis(trajectory: Path, skip: int, *words: str) -> Path:
    """Folder of what `sognet analyze` finds in a trajectory after some frames."""
    folder = trajectory.parent / f"{trajectory.stem}_analysis"
    done = folder / "analysis.json"
    if not done.exists() or done.stat().st_mtime < trajectory.stat().st_mtime:
        charges = ",".join(f"{symbol}: {charge}" for symbol, charge in CHARGES.items())
        sognet(
            "analyze",
            f"trajectory={trajectory}",
            f"skip={skip}",
            f"charges={{{charges}}}",
            *words,
            f"hydra.run.dir={folder}",
        )
    return folder


def sognet(*words: str) -> None:
    """The program, with one thread."""
    program = str(Path(sys.executable).with_name("sognet"))
    subprocess.run([program, *words], env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)
