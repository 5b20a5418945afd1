"""Structures that appear more than once, within a split and across splits."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sognet.data.splits import Splits
from sognet.data.structure import Structure

TOLERANCE = 1e-4  # Å, of every coordinate and lattice vector's component


@dataclass(frozen=True)
class Duplicate:
    """Two equal structures, with the splits that they are in; `energy_difference` in eV/atom where both have one."""

    splits: tuple[str, str]
    sources: tuple[str, str]
    energy_difference: float | None


def duplicates(splits: Splits) -> Iterator[Duplicate]:
    """Structures that equal one before them: same elements in the same order, same cell and positions.

    Equal is what differs by at most 1e-4 Å in every component. Each repeated structure is given once, with one that it
    repeats. Structures that are shifted, rotated or with their atoms in another order count as different.
    """
    groups: dict[tuple[bytes, bytes], list[tuple[str, Structure]]] = defaultdict(list)
    for split, structures in splits:
        for structure in structures:
            groups[structure.numbers.tobytes(), structure.pbc.tobytes()].append((split, structure))
    for members in groups.values():
        yield from _within(members)


def _within(members: list[tuple[str, Structure]]) -> Iterator[Duplicate]:
    """Duplicates of structures of the same elements: equal ones have almost equal projections on any direction."""
    size = members[0][1].positions.size + 9
    direction = np.random.default_rng(0).normal(size=size)
    projections = np.array([_coordinates(s) @ direction for _, s in members])
    window = TOLERANCE * np.abs(direction).sum()
    order = np.argsort(projections, kind="stable")
    repeats: dict[int, int] = {}
    for place, i in enumerate(order):
        for j in order[place + 1 :]:
            if projections[j] - projections[i] > window:
                break
            first, second = sorted((int(i), int(j)))
            if second not in repeats and _equal(members[first][1], members[second][1]):
                repeats[second] = first
    for second, first in sorted(repeats.items()):
        (split_a, a), (split_b, b) = members[first], members[second]
        known = a.energy is not None and b.energy is not None
        difference = abs(a.energy - b.energy) / len(a) if known else None
        yield Duplicate((split_a, split_b), (a.source, b.source), difference)


def _coordinates(structure: Structure) -> np.ndarray:
    return np.concatenate([structure.positions.ravel(), structure.cell.ravel()])


def _equal(a: Structure, b: Structure) -> bool:
    return bool(np.abs(_coordinates(a) - _coordinates(b)).max() <= TOLERANCE)
