"""The engine of ASE's integrators and optimizers."""

import numpy as np
from ase import Atoms

from sognet.simulation.dynamics import (
    conserved_energy,
    internal_state,
    largest_force,
    make_dynamics,
    restore_internal_state,
)
from sognet.simulation.settings import SimulationSettings


class ASEEngine:
    """Dynamics or relaxation by ASE, with its numbers of one step after the other to the last bit.

    Parameters
    ----------
    atoms : with calculator and velocities.
    settings : what is asked for.
    rng : of stochastic thermostats.

    Raises
    ------
    InputError : no cell, or fixed atoms, at constant pressure.
    """

    def __init__(self, atoms: Atoms, settings: SimulationSettings, rng: np.random.Generator) -> None:
        self.dynamics = make_dynamics(atoms, settings, rng)

    def step(self, number: int) -> None:
        """One step of the integrator or optimizer."""
        self.dynamics.step()
        self.dynamics.nsteps = number

    def conserved_energy(self) -> float | None:
        """Energy with that of thermostat and barostat, eV; None for Langevin dynamics."""
        return conserved_energy(self.dynamics)

    def largest_force(self) -> float:
        """Of a relaxation, with the stress as ASE's filters weigh it, eV/Å."""
        return largest_force(self.dynamics)

    def state(self) -> dict[str, np.ndarray]:
        """Of integrator or optimizer, thermostat and barostat."""
        return internal_state(self.dynamics)

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Put back what `state` gave."""
        restore_internal_state(self.dynamics, state)
