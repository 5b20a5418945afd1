"""The electrolyte by its own force field: the start that all simulations share, and dynamics in parts that are kept."""

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read, write

from sognet.data import electrolyte
from sognet.data.datasets.generators.ion_box import one_thread
from sognet.data.datasets.generators.ions import PERMITTIVITY, TEMPERATURE, TIME_STEP, IonCalculator
from sognet.simulation.dynamics import make_dynamics
from sognet.simulation.files import frame_text
from sognet.simulation.initial_structure import draw_velocities
from sognet.simulation.settings import SimulationSettings

CHARGES = {"Na": 1.0, "Cl": -1.0}  # e
SCREENED = {symbol: charge / PERMITTIVITY**0.5 for symbol, charge in CHARGES.items()}
"""Charges whose Coulomb forces in vacuum are those of the ions in the dielectric."""

SETTINGS = SimulationSettings(
    "nvt", timestep=TIME_STEP, every=10, temperature=TEMPERATURE, thermostat="langevin", thermostat_time=333.0
)
PART = 2000
"""Steps of each file."""


def start(path: Path) -> Path:
    """File of the first structure: a test configuration of the data set, with velocities."""
    if not path.exists():
        structure = electrolyte().test[0]
        atoms = Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=True)
        draw_velocities(atoms, TEMPERATURE, np.random.default_rng(0))
        write(path, atoms)
    return path


def reference(path: Path, folder: Path, steps: int) -> list[Path]:
    """Files of a trajectory by the force field, with the integrator of `sognet simulate`; those there are stay."""
    folder.mkdir(exist_ok=True)
    parts = [folder / f"{number:03d}.extxyz" for number in range(-(-steps // PART))]
    for number, part in enumerate(parts):
        if not part.exists():
            atoms = read(parts[number - 1] if number else path, -1)
            part.with_suffix(".part").write_text(_frames(atoms, number), encoding="utf-8")
            part.with_suffix(".part").rename(part)
    return parts


def _frames(atoms: Atoms, number: int) -> str:
    charges = np.array([CHARGES[symbol] for symbol in atoms.symbols])
    atoms.info.clear()
    atoms.calc = IonCalculator(charges, atoms.cell.lengths()[0])
    dynamics = make_dynamics(atoms, SETTINGS, np.random.default_rng([1, number]))
    text = []
    with one_thread():
        for step in range(number * PART + 1, (number + 1) * PART + 1):
            dynamics.step()
            if step % SETTINGS.every == 0:
                text.append(frame_text(atoms, atoms.calc.results, time_ps=SETTINGS.time(step)))
    return "".join(text)
