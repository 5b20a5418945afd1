"""Constant pressure by trial changes of the volume, for engines without a barostat: Metropolis' rule."""

import numpy as np
from ase import units

from sognet.simulation.engines.callback import Callback
from sognet.simulation.settings import SimulationSettings

TRIALS = 40
"""Changes of volume that are tried in `simulation.barostat_time`."""

FIRST_CHANGE = 0.01
"""Largest change of the first trials, of the volume."""

WINDOW = 10
"""Trials after which the largest change is adapted, by `FACTOR`, so that a quarter to three quarters are accepted."""

FACTOR = 1.1


class MonteCarloBarostat:
    """Tries other volumes: V' is taken with probability min(1, exp(−(ΔE + P ΔV − N kT ln(V'/V)) / kT)).

    All vectors of the cell, and all positions, are scaled by one factor. Momenta stay.

    Parameters
    ----------
    callback : gives energies; its atoms are moved.
    settings : pressure, temperature and times.
    rng : of the trials.
    """

    def __init__(self, callback: Callback, settings: SimulationSettings, rng: np.random.Generator) -> None:
        self.callback, self.rng = callback, rng
        self.every = max(1, round(settings.barostat_time / settings.timestep / TRIALS))
        self.pressure, self.kinetic = settings.pressure * units.GPa, units.kB * settings.temperature
        self.largest = FIRST_CHANGE * callback.atoms.get_volume()
        self.tried = self.accepted = 0

    def attempt(self) -> None:
        """One trial; the atoms have the new positions and cell, or those of before, with their results."""
        atoms = self.callback.atoms
        positions, cell, volume = atoms.get_positions(), atoms.cell.array.copy(), atoms.get_volume()
        before = self.callback(positions).energy
        change = self.rng.uniform(-self.largest, self.largest)
        scale = np.cbrt(1 + change / volume)
        after = self.callback(positions * scale, cell * scale).energy
        work = after - before + self.pressure * change - 3 * len(atoms) * self.kinetic * np.log(scale)
        taken = bool(self.rng.random() < np.exp(min(0.0, -work / self.kinetic)))
        if not taken:
            self.callback(positions, cell)
        self.tried, self.accepted = self.tried + 1, self.accepted + taken
        self._adapt()

    def state(self) -> dict[str, np.ndarray]:
        """What the next trials depend on beside atoms and random numbers."""
        return {"barostat": np.array([self.largest, self.tried, self.accepted])}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Put back what `state` gave."""
        self.largest, tried, accepted = map(float, state["barostat"])
        self.tried, self.accepted = int(tried), int(accepted)

    def _adapt(self) -> None:
        if self.tried < WINDOW:
            return
        if self.accepted < 0.25 * self.tried:
            self.largest /= FACTOR
        elif self.accepted > 0.75 * self.tried:
            self.largest = min(self.largest * FACTOR, 0.3 * self.callback.atoms.get_volume())
        self.tried = self.accepted = 0
