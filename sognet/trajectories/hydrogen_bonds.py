"""Hydrogen bonds of water by geometry: oxygen atoms within 3.5 Å, and H–O···O below 30° at the donor (A. Luzar and
D. Chandler, Nature 379, 55 (1996)).
"""

import numpy as np
from vesin import NeighborList

from sognet.errors import InputError
from sognet.trajectories.blocks import Blocks
from sognet.trajectories.displacement import with_error
from sognet.trajectories.frames import Frame
from sognet.trajectories.results import Result
from sognet.trajectories.water import Waters, lacks_water, water_molecules

DISTANCE = 3.5
"""Å between the oxygen atoms."""

ANGLE = 30.0
"""Degrees between the bond to hydrogen and the line to the other oxygen."""


class HydrogenBonds:
    """Mean number of hydrogen bonds that a water molecule donates or accepts.

    Parameters
    ----------
    first : first frame, with water.
    n_blocks : for errors.
    """

    def __init__(self, first: Frame, n_blocks: int) -> None:
        if reason := lacks_water(first):
            raise InputError(f"{first.source}: hydrogen_bonds needs {reason}")
        self._per_molecule = Blocks((), n_blocks)

    def add(self, frame: Frame) -> None:
        """Count the hydrogen bonds of a frame."""
        waters = water_molecules(frame)
        if n := len(waters.oxygens):
            self._per_molecule.add(frame.index, np.asarray(2 * number_of_bonds(frame, waters) / n))

    def result(self) -> Result:
        """The mean number, each bond counted at both of its molecules."""
        value, error = float(self._per_molecule.mean), float(self._per_molecule.error)
        sentence = f"hydrogen bonds: {with_error(value, error)} of a water molecule"
        return Result(sentences=[sentence], numbers={"per molecule": value, "error": error})


def number_of_bonds(frame: Frame, waters: Waters) -> int:
    """Hydrogen bonds between the water molecules of a frame."""
    neighbours = NeighborList(cutoff=DISTANCE, full_list=True, sorted=False)
    places = frame.wrapped[waters.oxygens]
    donor, _, d, lines = neighbours.compute(places, frame.cell, frame.pbc.tolist(), quantities="ijdD", copy=True)
    bonds = waters.bonds[donor.astype(int)]  # (n_pairs, 2, 3)
    cosines = np.einsum("pad,pd->pa", bonds, lines) / np.linalg.norm(bonds, axis=2) / d[:, None]
    return int((cosines > np.cos(np.radians(ANGLE))).sum())
