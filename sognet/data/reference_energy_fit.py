"""Energies of the elements by least squares, which outlying energies have no part in."""

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

N_ELEMENTS = len(chemical_symbols)
ROWS = 512  # structures that are added to the least-squares problem at once
CUTOFF_OF_RANK = 1e-8  # singular values below this part of the largest count as zero

ENOUGH = 5  # structures among which an energy can stand out
SPREADS = 20.0  # times the median deviation that an energy may be away
ENERGY_AT_LEAST = 0.2  # eV/atom
ITERATIONS = 20  # of the fit with least absolute deviations
NEGLIGIBLE = 1e-4  # eV/atom: smaller deviations weigh no more than this


class ReferenceEnergyFit:
    """Energies of the elements that together explain total energies best, from a stream of structures.

    The least-squares problem is kept as the triangular factor of its QR decomposition, which grows with the number of
    elements and not of structures, and which does not square the condition number as normal equations would. Energies
    that stand out from some hundreds of structures around them are left out.
    """

    def __init__(self) -> None:
        self.triangle = np.zeros((0, N_ELEMENTS + 1))
        self.rows: list[np.ndarray] = []
        self.total_energy, self.n_atoms = 0.0, 0

    def add(self, numbers: np.ndarray, energy: float) -> None:
        """Add a structure of atomic numbers (N,) with its energy in eV."""
        self.rows.append(np.append(np.bincount(numbers, minlength=N_ELEMENTS), energy).astype(float))
        if len(self.rows) == 2 * ROWS:
            self._reduce(ROWS)

    def energies(self, species: list[str]) -> dict[str, float]:
        """Energy in eV of each of the species, empty where no structure had an energy."""
        table = self.energies_by_number()
        return {s: float(table[atomic_numbers[s]]) for s in species} if self.n_atoms else {}

    def energies_by_number(self) -> np.ndarray:
        """Energy in eV of every element, in the order of atomic numbers.

        Where the compositions do not determine them (one composition, collinear ones), the smallest solution about the
        mean energy per atom, which shares the energy out evenly; elements without an energy get that mean.
        """
        self._reduce(len(self.rows))
        mean = self.total_energy / max(1, self.n_atoms)
        counts = self.triangle[:, :-1]
        there = np.flatnonzero(np.any(counts != 0, axis=0))
        counts, energies = counts[:, there], self.triangle[:, -1]
        deviation, *_ = np.linalg.lstsq(counts, energies - mean * counts.sum(axis=1), rcond=CUTOFF_OF_RANK)
        table = np.full(N_ELEMENTS, mean)
        table[there] += deviation
        return table

    def _reduce(self, n: int) -> None:
        """Add the first n rows to the triangle; those after them help to tell which energies are usual."""
        if n == 0:
            return
        rows = np.array(self.rows)
        kept = rows[:n][usual_energies(rows[:, :-1], rows[:, -1])[:n]]
        self.triangle = np.linalg.qr(np.vstack([self.triangle, kept]), mode="r")
        self.total_energy += float(kept[:, -1].sum())
        self.n_atoms += int(kept[:, :-1].sum())
        self.rows = self.rows[n:]


def usual_energies(counts: np.ndarray, energies: np.ndarray) -> np.ndarray:
    """Which total energies (n,) in eV do not stand out from those of other structures, by what least absolute
    deviations leave of them; (n,) bool. Those of elements that no other structure has are kept.

    Parameters
    ----------
    counts : (n, n_elements), atoms of each element in each structure.
    energies : (n,) in eV.
    """
    if len(energies) < ENOUGH:
        return np.ones(len(energies), dtype=bool)
    deviation = np.abs(_left_by_elements(counts, energies))
    usual = deviation <= max(ENERGY_AT_LEAST, SPREADS * float(np.median(deviation)))
    there = counts > 0
    needed = there.any(axis=0) & ~there[usual].any(axis=0)
    return usual | there[:, needed].any(axis=1)


def _left_by_elements(counts: np.ndarray, energies: np.ndarray) -> np.ndarray:
    """What energies of the elements leave of energies per atom, (n,) in eV/atom: least absolute deviations by
    iteratively reweighted least squares.
    """
    sizes = counts.sum(axis=1)
    shares = counts[:, counts.any(axis=0)] / sizes[:, None]
    per_atom = energies / sizes
    left = per_atom = per_atom - np.median(per_atom)
    for _ in range(ITERATIONS):
        weighted = shares / np.maximum(np.abs(left), NEGLIGIBLE)[:, None]
        of_elements, *_ = np.linalg.lstsq(weighted.T @ shares, weighted.T @ per_atom, rcond=CUTOFF_OF_RANK)
        left = per_atom - shares @ of_elements
    return left
