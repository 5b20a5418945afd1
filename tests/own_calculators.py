"""Calculators of a user's own, for the tests of labels."""

import os
import time
from pathlib import Path

import numpy as np
from ase.calculators.calculator import Calculator, all_changes


class Spring(Calculator):
    """k r²/2 about the origin; the total charge is an additional energy, and each atom has an equal part of it.

    Parameters
    ----------
    constant : k in eV/Å².
    charge : e.
    log : file that gets a line for each structure.
    accident : what happens to structures with an atom beyond 5 Å.
    """

    implemented_properties = ("energy", "forces", "charges")

    def __init__(
        self, constant: float = 1.0, charge: float = 0.0, log: str | None = None, accident: str | None = None
    ) -> None:
        super().__init__()
        self.constant, self.charge, self.log, self.accident = constant, charge, log, accident

    def calculate(self, atoms=None, properties=None, system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        if self.log:
            with Path(self.log).open("a") as file:
                file.write(f"{len(atoms)}\n")
        energy = 0.5 * self.constant * (atoms.positions**2).sum() + self.charge
        if np.abs(atoms.positions).max() > 5.0:
            energy = _happen(self.accident, energy)
        forces = -self.constant * atoms.positions
        self.results = {
            "energy": energy,
            "forces": forces[1:] if self.accident == "shape" and np.abs(atoms.positions).max() > 5.0 else forces,
            "charges": np.full(len(atoms), self.charge / len(atoms)),
        }


def _happen(accident: str | None, energy: float) -> float:
    match accident:
        case "exception":
            raise RuntimeError("SCF not converged")
        case "nan":
            return float("nan")
        case "crash":
            os._exit(7)
        case "hang":
            print(os.getpid(), flush=True)
            time.sleep(600)
    return energy


def uncharged() -> Spring:
    """A calculator without an argument for the total charge."""
    return Spring()


def where() -> Spring:
    """A calculator that leaves a file with its folder and the number of its threads."""
    Path("where.txt").write_text(f"{Path.cwd()} {os.environ['OMP_NUM_THREADS']}")
    return Spring()
