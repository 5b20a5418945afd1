"""Frames of a simulation on which a committee disagrees: collected to be labelled, or the reason to stop."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from ase import Atoms

from sognet.simulation.files import GrowingFile
from sognet.simulation.settings import UncertaintySettings

UNCERTAIN = "uncertain.extxyz"
KEY = "uncertain"
"""Name of the state in restart files."""


class UncertainFrames:
    """Watches the uncertainty of the force on any atom.

    Parameters
    ----------
    folder : of the simulation.
    settings : limits, and how many frames are collected.
    """

    def __init__(self, folder: Path, settings: UncertaintySettings) -> None:
        self.file, self.settings = GrowingFile(folder / UNCERTAIN), settings
        self.count, self.last = 0, -settings.min_steps

    def clear(self) -> None:
        """Remove the file of an earlier simulation that has not begun."""
        self.file.path.unlink(missing_ok=True)

    def watch(self, atoms: Atoms, step: int, frame: Callable[..., str]) -> str | None:
        """Collect the frame of a step, if that is wanted; why the simulation stops here, if it does.

        Parameters
        ----------
        atoms : whose calculator has been asked for their positions.
        step : number of it.
        frame : text of the frame, with further values of it.
        """
        if not self.settings.needs_committee:
            return None
        of_atoms, settings = atoms.calc.other_results["forces_uncertainty"], self.settings
        worst = int(of_atoms.argmax())
        largest = float(of_atoms[worst])
        stops = settings.stop is not None and largest > settings.stop
        collects = settings.collect is not None and largest > settings.collect
        if stops or (collects and self.count < settings.max_frames and step - self.last >= settings.min_steps):
            self.file.append(frame(largest_force_uncertainty=largest))
            self.count, self.last = self.count + 1, step
        if not stops:
            return None
        return (
            f"the committee's force on atom {worst} is uncertain by {largest:.3g} eV/Å, above "
            f"simulation.uncertainty.stop={settings.stop:g}: the frame is in {UNCERTAIN}, to be labelled and trained on"
        )

    def conclusion(self) -> str:
        """How many frames were collected, in words; empty where none was asked for."""
        if self.settings.collect is None:
            return ""
        full = self.settings.max_frames
        at_most = f", as many as simulation.uncertainty.max_frames={full} allows" if self.count >= full else ""
        where = f" in {UNCERTAIN}, to be labelled" if self.count else ""
        return f"{self.count} uncertain frame{'s' if self.count != 1 else ''}{where}{at_most}"

    def state(self) -> dict[str, np.ndarray]:
        """Number of frames and the step of the last one, of restart files."""
        return {KEY: np.array([self.count, self.last])} if self.count else {}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Put back what `state` gave."""
        if KEY in state:
            self.count, self.last = map(int, state[KEY])
