"""Engines: libraries that move the atoms of a simulation by the forces of a model. One file each."""

from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np
from ase import Atoms

from sognet.errors import InputError
from sognet.simulation.settings import SimulationSettings
from sognet.trust import resolve

ENGINES = {
    "ase": "sognet.simulation.engines.ase.ASEEngine",
    "openmm": "sognet.simulation.engines.openmm.OpenMMEngine",
    "lammps": "sognet.simulation.engines.lammps.LAMMPSEngine",
    "torch_sim": "sognet.simulation.engines.torch_sim.TorchSimEngine",
}
"""Import path of each engine by name."""


class Engine(Protocol):
    """Moves the atoms of a simulation; trajectory, limits, restart files and signals are the simulation's.

    After each step the atoms have the positions (N,3), momenta (N,3) and cell (3,3) of its end, in ASE's units, without
    wrapping, and their calculator has been asked for these positions. One that relaxes has `largest_force()` in eV/Å as
    well.
    """

    def step(self, number: int) -> None:
        """Move the atoms on by one step, of this number from the start of the simulation."""

    def conserved_energy(self) -> float | None:
        """What an exact integrator would keep constant, eV; None where there is nothing."""

    def state(self) -> dict[str, np.ndarray]:
        """What the next steps depend on beside the atoms and the random numbers of the simulation."""

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go on from what `state` gave; the atoms are already those of the restart file."""


MakeEngine = Callable[[Atoms, SimulationSettings, np.random.Generator], Engine]
"""Makes an engine for atoms with a calculator and velocities; refuses by an InputError before anything is evaluated."""


def find_engine(name: str, trust: str | Iterable[str] = ()) -> MakeEngine:
    """Engine of a name, or of the import path of a class or function of one's own.

    Raises
    ------
    InputError : there is none, or its module is not trusted.
    """
    if name not in ENGINES and "." not in name:
        raise InputError(f"engine={name}: there is {', '.join(ENGINES)}, or the import path of one of your own")
    return resolve(ENGINES.get(name, name), trust, "engine")
