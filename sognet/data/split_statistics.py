"""Statistics of the training split that models start from, in one pass over it."""

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pooch
from ase.cell import Cell
from ase.data import atomic_numbers, chemical_symbols
from vesin import NeighborList

from sognet.data.structure import Structure, is_isolated_atom

logger = logging.getLogger(__name__)

N_ELEMENTS = len(chemical_symbols)
ROWS = 512  # structures that are added to the least-squares problem at once
CUTOFF_OF_RANK = 1e-8  # singular values below this part of the largest count as zero
VERSION = 2  # of what is computed; part of the name of cached statistics


@dataclass(frozen=True)
class Statistics:
    """What a model needs to know of its training split."""

    species: list[str]  # by atomic number
    reference_energies: dict[str, float]  # eV, by least squares
    isolated_energies: dict[str, float]  # eV, of isolated atoms
    force_rms: float  # eV/Å, of one component; 1 where the split has no forces
    average_neighbors: float | None = None  # per atom within the cutoff; None where no cutoff was given


def statistics(structures: Iterable[Structure], cutoff: float | None = None) -> Statistics:
    """Species, reference energies by least squares, force scale and number of neighbours of structures.

    Parameters
    ----------
    structures : gone through once, and none is kept.
    cutoff : Å, within which neighbours are counted.
    """
    composition = ReferenceEnergyFit()
    seen: set[int] = set()
    isolated: dict[str, float] = {}
    squares, n_components, n_edges, n_atoms = 0.0, 0, 0, 0
    for structure in structures:
        seen.update(np.unique(structure.numbers).tolist())
        n_atoms += len(structure)
        if structure.energy is not None:
            composition.add(structure.numbers, structure.energy)
            if is_isolated_atom(structure):
                isolated[chemical_symbols[structure.numbers[0]]] = structure.energy
        if structure.forces is not None:
            squares += float(np.square(structure.forces).sum())
            n_components += structure.forces.size
        if cutoff is not None:
            n_edges += number_of_edges(structure, cutoff)
    species = [chemical_symbols[z] for z in sorted(seen)]
    return Statistics(
        species=species,
        reference_energies=composition.energies(species),
        isolated_energies=isolated,
        force_rms=float(np.sqrt(squares / n_components)) if squares > 0 else 1.0,
        average_neighbors=n_edges / n_atoms if cutoff is not None and n_atoms else None,
    )


def cached_statistics(
    structures: Iterable[Structure], cutoff: float | None = None, root: str | Path | None = None
) -> Statistics:
    """Statistics, kept under the hash of the structures and read from there the next time.

    Parameters
    ----------
    structures : gone through twice where nothing is cached.
    cutoff : Å.
    root : folder of data sets (`paths.data`); by default the user's cache. One that cannot be written to is left alone.
    """
    folder = Path(root) if root else Path(pooch.os_cache("sognet"))
    file = folder / "statistics" / f"{fingerprint(structures)}-{cutoff}-{VERSION}.json"
    try:
        return Statistics(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):  # not there, or not complete
        found = statistics(structures, cutoff)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, suffix=".part", delete=False) as partial:
            json.dump(asdict(found), partial)
        os.replace(partial.name, file)
    except OSError as error:
        logger.info("statistics are not kept: %s", error)
    return found


def fingerprint(structures: Iterable[Structure]) -> str:
    """Hash of all numbers of structures: elements, positions, cells and reference values, bit by bit."""
    digest = hashlib.sha256()
    for structure in structures:
        for values in values_of(structure):
            digest.update(values)
    return digest.hexdigest()[:20]


def values_of(structure: Structure) -> Iterator[bytes]:
    """All numbers of a structure, elements, positions, cell and reference values, bit by bit."""
    yield np.asarray(structure.numbers, dtype="<i8").tobytes()
    yield np.asarray(structure.pbc, dtype=bool).tobytes()
    s = structure
    for values in (s.positions, s.cell, s.energy, s.forces, s.stress, s.charge):
        yield b"none" if values is None else np.asarray(values, dtype="<f8").tobytes()
    for name, values in sorted(s.further.items()):
        yield name.encode() + np.asarray(values, dtype="<f8").tobytes()


def number_of_edges(structure: Structure, cutoff: float) -> int:
    """Pairs of atoms (and images) within the cutoff in Å, counted from both ends."""
    neighbours = NeighborList(cutoff=cutoff, full_list=True)
    box = Cell(structure.cell).complete().array
    (i,) = neighbours.compute(structure.positions, box, structure.pbc.tolist(), quantities="i", copy=False)
    return len(i)


class ReferenceEnergyFit:
    """Energies of the elements that together explain total energies best, from a stream of structures.

    The least-squares problem is kept as the triangular factor of its QR decomposition, which grows with the number of
    elements and not of structures, and which does not square the condition number as normal equations would.
    """

    def __init__(self) -> None:
        self.triangle = np.zeros((0, N_ELEMENTS + 1))
        self.rows: list[np.ndarray] = []
        self.total_energy, self.n_atoms = 0.0, 0

    def add(self, numbers: np.ndarray, energy: float) -> None:
        """Add a structure of atomic numbers (N,) with its energy in eV."""
        self.rows.append(np.append(np.bincount(numbers, minlength=N_ELEMENTS), energy).astype(float))
        self.total_energy += energy
        self.n_atoms += len(numbers)
        if len(self.rows) == ROWS:
            self._reduce()

    def energies(self, species: list[str]) -> dict[str, float]:
        """Energy in eV of each of the species, empty where no structure had an energy."""
        table = self.energies_by_number()
        return {s: float(table[atomic_numbers[s]]) for s in species} if self.n_atoms else {}

    def energies_by_number(self) -> np.ndarray:
        """Energy in eV of every element, in the order of atomic numbers.

        Where the compositions do not determine them (one composition, collinear ones), the smallest solution about the
        mean energy per atom, which shares the energy out evenly; elements without an energy get that mean.
        """
        mean = self.total_energy / max(1, self.n_atoms)
        self._reduce()
        counts = self.triangle[:, :-1]
        there = np.flatnonzero(np.any(counts != 0, axis=0))
        counts, energies = counts[:, there], self.triangle[:, -1]
        deviation, *_ = np.linalg.lstsq(counts, energies - mean * counts.sum(axis=1), rcond=CUTOFF_OF_RANK)
        table = np.full(N_ELEMENTS, mean)
        table[there] += deviation
        return table

    def _reduce(self) -> None:
        if self.rows:
            self.triangle = np.linalg.qr(np.vstack([self.triangle, *self.rows]), mode="r")
            self.rows = []
