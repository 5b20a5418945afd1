"""Restart files: everything that the next steps of a simulation depend on, replaced in one go."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from ase import Atoms

from sognet.errors import InputError
from sognet.simulation.files import unwritable

RESTART = "restart.npz"


@dataclass
class RestartState:
    """State of a simulation after a step.

    Parameters
    ----------
    step : how many are done.
    arrays : positions, momenta and cell, and of integrator, thermostat and barostat what they have.
    random : state of the random numbers.
    sizes : bytes of the files that grow.
    """

    step: int
    arrays: dict[str, np.ndarray]
    random: dict[str, Any]
    sizes: dict[str, int]

    def write(self, folder: Path) -> None:
        """Put it into a folder; a kill leaves the state before or this one.

        Raises
        ------
        InputError : the disk is full, or the file cannot be written.
        """
        path, draft = folder / RESTART, folder / f"{RESTART}.part"
        words = json.dumps({"step": self.step, "random": self.random, "sizes": self.sizes})
        try:
            with draft.open("wb") as file:
                np.savez(file, words=np.array(words), **self.arrays)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise unwritable(path, error) from error

    @classmethod
    def read(cls, folder: Path) -> "RestartState":
        """The state in a folder; nothing in the file is run.

        Raises
        ------
        InputError : there is none, or it cannot be read.
        """
        path = folder / RESTART
        if not path.is_file():
            raise InputError(f"{folder}: no {RESTART}; resume=<folder> needs the folder of a simulation")
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
                arrays = {name: content[name] for name in content.files}
            words = json.loads(str(arrays.pop("words")))
            return cls(words["step"], arrays, words["random"], words["sizes"])
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise InputError(f"{path}: cannot be read ({error})") from error


def arrays_of(atoms: Atoms) -> dict[str, np.ndarray]:
    """Positions, momenta and cell, copied."""
    return {"positions": atoms.get_positions(), "momenta": atoms.get_momenta(), "cell": atoms.cell.array.copy()}


def put_back(atoms: Atoms, arrays: dict[str, np.ndarray], folder: Path) -> None:
    """Positions, momenta and cell of a restart file, to the last bit.

    Raises
    ------
    InputError : they are those of another number of atoms.
    """
    if arrays["positions"].shape != atoms.positions.shape:
        raise InputError(
            f"{folder / RESTART}: has {len(arrays['positions'])} atoms, and the structure has {len(atoms)}"
        )
    atoms.set_cell(arrays["cell"], scale_atoms=False)
    atoms.positions[:] = arrays["positions"]
    atoms.set_momenta(arrays["momenta"], apply_constraint=False)
