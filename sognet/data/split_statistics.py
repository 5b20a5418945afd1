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
from ase.data import chemical_symbols
from vesin import NeighborList

from sognet.data.reference_energy_fit import ReferenceEnergyFit
from sognet.data.structure import Structure, is_isolated_atom
from sognet.data.usual_sizes import largest_usual

logger = logging.getLogger(__name__)

VERSION = 3  # of what is computed; part of the name of cached statistics


@dataclass(frozen=True)
class Statistics:
    """What a model needs to know of its training split."""

    species: list[str]  # by atomic number
    reference_energies: dict[str, float]  # eV, by least squares
    isolated_energies: dict[str, float]  # eV, of isolated atoms
    force_rms: float  # eV/Å, of one component, outlying structures clipped; 1 where the split has no forces
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
    squares: list[float] = []
    n_components: list[int] = []
    n_edges, n_atoms = 0, 0
    for structure in structures:
        seen.update(np.unique(structure.numbers).tolist())
        n_atoms += len(structure)
        if structure.energy is not None:
            composition.add(structure.numbers, structure.energy)
            if is_isolated_atom(structure):
                isolated[chemical_symbols[structure.numbers[0]]] = structure.energy
        if structure.forces is not None:
            squares.append(float(np.square(structure.forces).sum()))
            n_components.append(structure.forces.size)
        if cutoff is not None:
            n_edges += number_of_edges(structure, cutoff)
    species = [chemical_symbols[z] for z in sorted(seen)]
    return Statistics(
        species=species,
        reference_energies=composition.energies(species),
        isolated_energies=isolated,
        force_rms=clipped_rms(np.array(squares), np.array(n_components)) or 1.0,
        average_neighbors=n_edges / n_atoms if cutoff is not None and n_atoms else None,
    )


def clipped_rms(squares: np.ndarray, n_components: np.ndarray) -> float:
    """Root mean square over structures with sums of squares (n,) of so many components (n,); none counts with more than
    the largest usual one. 0 of nothing.
    """
    if not len(squares):
        return 0.0
    limit = largest_usual(np.sqrt(squares / n_components))
    return float(np.sqrt(np.minimum(squares, limit**2 * n_components).sum() / n_components.sum()))


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
