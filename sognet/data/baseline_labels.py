"""What a frozen baseline model gives for structures, and under which names their graphs carry it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, overload

import numpy as np

from sognet.data.structure import Structure


class BaselineKeys(NamedTuple):
    """Names in graphs; with the identity in them, no model takes the values of another baseline for its own's."""

    energy: str  # (1,)
    forces: str  # (N, 3)
    stress: str  # (1, 3, 3)

    @classmethod
    def of(cls, identity: str) -> "BaselineKeys":
        """Of the baseline of this identity."""
        return cls(*(f"baseline_{name}_{identity}" for name in cls._fields))


@dataclass(frozen=True)
class BaselineLabels:
    """Energy (eV), forces (N, 3) in eV/Å and stress (3, 3) in eV/Å³, zero along open directions."""

    energy: float
    forces: np.ndarray
    stress: np.ndarray


def geometry_key(structure: Structure) -> bytes:
    """Hash of what a baseline sees of a structure: elements, positions, cell, periodicity and total charge."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(np.asarray(structure.numbers, dtype="<i8").tobytes())
    digest.update(np.asarray(structure.pbc, dtype=bool).tobytes())
    for values in (structure.positions, structure.cell, structure.charge):
        digest.update(np.asarray(values, dtype="<f8").tobytes())
    return digest.digest()


def residual(structure: Structure, identity: str | None) -> Structure:
    """Structure whose energy, forces and stress are what the baseline leaves of them; the same where it has no labels
    of this identity.
    """
    labels = structure.baselines.get(identity)
    if labels is None:
        return structure
    left = {
        name: value - getattr(labels, name)
        for name in ("energy", "forces", "stress")
        if (value := getattr(structure, name)) is not None
    }
    return replace(structure, **left, baselines={})


class Residuals(Sequence[Structure]):
    """Structures with what a baseline leaves of their energies, forces and stresses, made when they are asked for."""

    def __init__(self, structures: Sequence[Structure], identity: str) -> None:
        self.structures = structures
        self.identity = identity

    def __len__(self) -> int:
        return len(self.structures)

    @overload
    def __getitem__(self, number: int) -> Structure: ...
    @overload
    def __getitem__(self, number: slice) -> list[Structure]: ...
    def __getitem__(self, number: int | slice) -> Structure | list[Structure]:
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        return residual(self.structures[number], self.identity)
