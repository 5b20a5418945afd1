"""Constant pressure by trial changes of the volume, for engines without a barostat: Metropolis' rule."""

import numpy as np
from ase import units

from sognet.simulation.engines.callback import Callback
from sognet.simulation.engines.lower_cell import triangular
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

    All vectors of the cell, and all positions, are scaled by one factor, or stretched along one of three perpendicular
    axes, drawn for each trial. Momenta stay.

    Parameters
    ----------
    callback : gives energies; its atoms are moved.
    settings : barostat, pressure, temperature and times.
    rng : of the trials.
    """

    def __init__(self, callback: Callback, settings: SimulationSettings, rng: np.random.Generator) -> None:
        self.callback, self.rng = callback, rng
        self.every = max(1, round(settings.barostat_time / settings.timestep / TRIALS))
        self.pressure, self.kinetic = settings.pressure * units.GPa, units.kB * settings.temperature
        self.axes = triangular(callback.atoms.cell.array)[1].T if settings.barostat == "anisotropic" else None
        n_kinds = 1 if self.axes is None else 3
        self.largest = np.full(n_kinds, FIRST_CHANGE * callback.atoms.get_volume())
        self.tried, self.accepted = np.zeros(n_kinds, dtype=int), np.zeros(n_kinds, dtype=int)

    def attempt(self) -> None:
        """One trial; the atoms have the new positions and cell, or those of before, with their results."""
        atoms = self.callback.atoms
        positions, cell, volume = atoms.get_positions(), atoms.cell.array.copy(), atoms.get_volume()
        before = self.callback(positions).energy
        kind = 0 if self.axes is None else int(self.rng.integers(3))
        change = self.rng.uniform(-self.largest[kind], self.largest[kind])
        stretch = self._stretch(kind, 1 + change / volume)
        after = self.callback(positions @ stretch, cell @ stretch).energy
        work = after - before + self.pressure * change - len(atoms) * self.kinetic * np.log(1 + change / volume)
        taken = bool(self.rng.random() < np.exp(min(0.0, -work / self.kinetic)))
        if not taken:
            self.callback(positions, cell)
        self.tried[kind], self.accepted[kind] = self.tried[kind] + 1, self.accepted[kind] + taken
        self._adapt(kind)

    def state(self) -> dict[str, np.ndarray]:
        """What the next trials depend on beside atoms and random numbers."""
        return {"barostat": np.stack([self.largest, self.tried, self.accepted])}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Put back what `state` gave."""
        self.largest, tried, accepted = state["barostat"].reshape(3, -1).copy()
        self.tried, self.accepted = tried.astype(int), accepted.astype(int)

    def _stretch(self, kind: int, factor: float) -> np.ndarray:
        """Deformation (3,3) that changes the volume by a factor."""
        if self.axes is None:
            return np.cbrt(factor) * np.eye(3)
        return np.eye(3) + (factor - 1) * np.outer(self.axes[kind], self.axes[kind])

    def _adapt(self, kind: int) -> None:
        if self.tried[kind] < WINDOW:
            return
        if self.accepted[kind] < 0.25 * self.tried[kind]:
            self.largest[kind] /= FACTOR
        elif self.accepted[kind] > 0.75 * self.tried[kind]:
            self.largest[kind] = min(self.largest[kind] * FACTOR, 0.3 * self.callback.atoms.get_volume())
        self.tried[kind] = self.accepted[kind] = 0
