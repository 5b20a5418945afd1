"""Water molecules of a frame."""

from typing import NamedTuple

import numpy as np
from vesin import NeighborList

from sognet.trajectories.frames import Frame

BOND = 1.3
"""Å, longest bond of hydrogen and oxygen."""


class Waters(NamedTuple):
    """Water molecules.

    Parameters
    ----------
    oxygens : numbers of the oxygen atoms (n,).
    hydrogens : numbers of the hydrogen atoms (n, 2).
    bonds : vectors (n, 2, 3) in Å from oxygen to hydrogen.
    """

    oxygens: np.ndarray
    hydrogens: np.ndarray
    bonds: np.ndarray


def water_molecules(frame: Frame) -> Waters:
    """Oxygen atoms that are the nearest oxygen of two hydrogen atoms, within 1.3 Å."""
    neighbours = NeighborList(cutoff=BOND, full_list=True, sorted=False)
    i, j, d, vectors = neighbours.compute(frame.wrapped, frame.cell, frame.pbc.tolist(), quantities="ijdD", copy=True)
    i, j = i.astype(int), j.astype(int)
    order = np.argsort(d, kind="stable")
    order = order[(frame.numbers[i[order]] == 1) & (frame.numbers[j[order]] == 8)]
    _, nearest = np.unique(i[order], return_index=True)  # of each hydrogen
    chosen = order[nearest]
    oxygens, counts = np.unique(j[chosen], return_counts=True)
    chosen = chosen[np.argsort(j[chosen], kind="stable")]
    chosen = chosen[np.isin(j[chosen], oxygens[counts == 2])]
    return Waters(j[chosen][::2], i[chosen].reshape(-1, 2), -vectors[chosen].reshape(-1, 2, 3))


def lacks_water(first: Frame) -> str:
    """What a frame lacks for quantities of water; empty: nothing."""
    return "" if len(water_molecules(first).oxygens) else "water, an O with two H within 1.3 Å"
