"""Statistics of the training split that models start from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols

from sognet.data.structure import Structure


@dataclass(frozen=True)
class Statistics:
    """What a model needs to know of its training split."""

    species: list[str]  # by atomic number
    composition_energies: dict[str, float]  # eV, by least squares
    isolated_energies: dict[str, float]  # eV, of structures of one atom
    force_rms: float  # eV/Å, of one component; 1 where the split has no forces


def statistics(structures: Sequence[Structure]) -> Statistics:
    """Species, composition energies by least squares and force scale of structures."""
    numbers = sorted({int(z) for s in structures for z in np.unique(s.numbers)})
    squares = sum(np.square(s.forces).sum() for s in structures if s.forces is not None)
    components = sum(s.forces.size for s in structures if s.forces is not None)
    force_rms = float(np.sqrt(squares / components)) if components and squares > 0 else 1.0
    return Statistics(
        species=[chemical_symbols[z] for z in numbers],
        composition_energies=least_squares_composition(structures),
        isolated_energies={
            chemical_symbols[s.numbers[0]]: s.energy for s in structures if len(s) == 1 and s.energy is not None
        },
        force_rms=force_rms,
    )


def least_squares_composition(structures: Sequence[Structure]) -> dict[str, float]:
    """Energy of each element that together explain the total energies best, eV by chemical symbol.

    Where the compositions do not determine them (one composition, collinear ones), the smallest solution about the
    mean energy per atom, which shares the energy out evenly.
    """
    labelled = [s for s in structures if s.energy is not None]
    if not labelled:
        return {}
    numbers = sorted({int(z) for s in labelled for z in np.unique(s.numbers)})
    counts = np.array([[np.count_nonzero(s.numbers == z) for z in numbers] for s in labelled], dtype=float)
    energies = np.array([s.energy for s in labelled])
    mean = energies.sum() / counts.sum()
    deviation, *_ = np.linalg.lstsq(counts, energies - mean * counts.sum(1), rcond=1e-8)
    return {chemical_symbols[z]: float(mean + d) for z, d in zip(numbers, deviation, strict=True)}
