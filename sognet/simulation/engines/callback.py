"""Energies and forces for a library that calls back: what goes wrong meanwhile is raised when it has returned."""

from typing import NamedTuple

import numpy as np
from ase import Atoms

ROUNDING = 1e-10
"""Å within which positions and cell are those of before, so that a library that sets itself up again costs nothing."""


class Found(NamedTuple):
    """What the calculator of the atoms gives: eV, eV/Å, eV/Å³."""

    energy: float
    forces: np.ndarray  # (N, 3)
    stress: np.ndarray | None  # (3, 3)


class Callback:
    """Moves the atoms of a simulation to where a library wants forces, and asks their calculator.

    Parameters
    ----------
    atoms : with calculator.
    stress : whether the library needs the stress.
    """

    def __init__(self, atoms: Atoms, stress: bool) -> None:
        self.atoms, self.stress = atoms, stress
        self.error: BaseException | None = None

    def __call__(self, positions: np.ndarray, cell: np.ndarray | None = None) -> Found:
        """Energy, forces and, where needed, stress at positions (N,3) in Å, in a cell (3,3) or that of before.

        After an error, which a library in C could not pass on, there are no forces, and `check` raises it.
        """
        atoms = self.atoms
        try:
            if self.error is None:
                self.move(positions, cell)
                energy, forces = (atoms.calc.get_property(name, atoms) for name in ("energy", "forces"))
                return Found(energy, forces, atoms.get_stress(voigt=False) if self.stress else None)
        except BaseException as error:  # a second Ctrl-C as well
            self.error = error
        return Found(0.0, np.zeros(atoms.positions.shape), np.zeros((3, 3)) if self.stress else None)

    def move(self, positions: np.ndarray, cell: np.ndarray | None = None) -> None:
        """Put the atoms there, unless they are there already but for rounding."""
        atoms = self.atoms
        moved = np.abs(positions - atoms.positions).max()
        if cell is not None:
            moved = max(moved, np.abs(cell - atoms.cell.array).max())
        if not moved < ROUNDING:
            atoms.positions[:] = positions
            if cell is not None:
                atoms.set_cell(cell, scale_atoms=False)

    def check(self) -> None:
        """Raise what was raised in a call."""
        if self.error is not None:
            error, self.error = self.error, None
            raise error
