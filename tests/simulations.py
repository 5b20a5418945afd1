"""Simulations of small models in a folder, for tests."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from scipy.spatial.transform import Rotation
from structures import random_atoms, small_model

from sognet import SOGNetCalculator
from sognet.simulation.engines import find_engine, lammps, openmm, torch_sim
from sognet.simulation.restart import RestartState
from sognet.simulation.run import Simulation
from sognet.simulation.settings import SimulationSettings

NVE = SimulationSettings(ensemble="nve", steps=20, every=5, restart_every=10)
OFFERED = {"openmm": openmm.OFFERED, "lammps": lammps.OFFERED, "torch_sim": torch_sim.OFFERED}
"""Ensembles of engines other than ASE's, and the thermostats of each."""


def where_installed(engine: str, *values: object):
    """Parameters of a test for an engine, whose package has its name."""
    absent = pytest.mark.skipif(find_spec(engine) is None, reason=f"{engine} is not installed")
    return pytest.param(engine, *values, marks=absent)


ENGINES = [where_installed(engine) for engine in OFFERED]
THERMOSTATS = [
    where_installed(engine, thermostat) for engine, offered in OFFERED.items() for thermostat in offered["nvt"]
]
"""Parameters of tests: engines, and engines with each of their thermostats."""

TURN = Rotation.from_euler("xyz", [0.3, -1.1, 2.0]).as_matrix()
"""That no axis of a cell is one of a laboratory."""


def made(
    folder: Path, settings: SimulationSettings, atoms: Atoms | None = None, engine: str = "ase", **calculator
) -> Simulation:
    folder.mkdir(parents=True, exist_ok=True)
    asked = SOGNetCalculator(small_model(n_latent=1), dtype="float64", **calculator)
    return Simulation(atoms or random_atoms(), asked, settings, folder, find_engine(engine))


def begun(*args, **kwargs) -> Simulation:
    simulation = made(*args, **kwargs)
    simulation.begin()
    return simulation


def resumed(folder: Path, settings: SimulationSettings, atoms: Atoms | None = None, engine: str = "ase") -> Simulation:
    simulation = made(folder, settings, atoms, engine)
    simulation.continue_from(RestartState.read(folder))
    return simulation


def hot(atoms: Atoms) -> Atoms:
    atoms.set_momenta(np.random.default_rng(0).normal(size=(len(atoms), 3)) * 60)
    return atoms
