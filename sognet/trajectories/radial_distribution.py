"""Radial distribution functions and running coordination numbers of all pairs of elements.

    g_AB(r) = V / (N_A N_B 4π r²) ⟨Σ_{i∈A} Σ_{j∈B} δ(r − r_ij)⟩,    n_AB(r) = (N_B / V) ∫₀ʳ g_AB(s) 4π s² ds.

Among atoms of one element the number of partners is N_A − 1. Without three periodic directions there is no density to
compare with, and the number of neighbours per Å stands in place of g.
"""

from collections import Counter
from itertools import combinations_with_replacement

import numpy as np
from ase.data import chemical_symbols
from vesin import NeighborList

from sognet.errors import InputError
from sognet.trajectories.blocks import Blocks
from sognet.trajectories.frames import Frame
from sognet.trajectories.results import Curve, Panel, Result

LONGEST = 10.0
"""Å, largest distance where none is given."""


class RadialDistribution:
    """Radial distribution functions.

    Parameters
    ----------
    first : first frame.
    n_blocks : for errors.
    r_max : Å; None: half of the shortest height of the cell, 10 Å at most.
    width : Å, of the bins.

    Raises
    ------
    InputError : r_max or width make no bins, or there are no two atoms.
    """

    def __init__(self, first: Frame, n_blocks: int, r_max: float | None = None, width: float = 0.05) -> None:
        counts = Counter(chemical_symbols[z] for z in first.numbers)
        self.pairs = [p for p in combinations_with_replacement(counts, 2) if p[0] != p[1] or counts[p[0]] > 1]
        if not self.pairs:
            raise InputError(f"{first.source}: rdf needs two atoms")
        self.r_max = r_max or min([LONGEST, *(0.5 * heights(first.cell)[first.pbc])])
        self.edges = np.arange(0, self.r_max + 1e-9, width)
        if len(self.edges) < 3:
            raise InputError(f"rdf: r_max={self.r_max:.3g} Å and bins of {width} Å leave fewer than two bins")
        self.r_max = float(self.edges[-1])
        self.is_bulk = bool(first.pbc.all())
        self._counts = counts
        elements = list(counts)
        of_atom = np.array([elements.index(chemical_symbols[z]) for z in first.numbers])
        kinds = np.full((len(elements), len(elements)), -1)
        for k, (a, b) in enumerate(self.pairs):
            kinds[elements.index(a), elements.index(b)] = kinds[elements.index(b), elements.index(a)] = k
        self._kinds, self._of_atom = kinds, of_atom
        shape = (len(self.pairs), len(self.edges) - 1)
        self._density, self._neighbours = Blocks(shape, n_blocks), Blocks(shape, n_blocks)

    def add(self, frame: Frame) -> None:
        """Count the pairs of a frame."""
        found = self._histogram(frame)
        n = self._counts
        centres = np.array([n[a] * (0.5 if a == b else 1.0) for a, b in self.pairs])
        neighbours = found / centres[:, None]  # of an atom of the first element, in each bin
        self._neighbours.add(frame.index, np.cumsum(neighbours, 1))
        if self.is_bulk:
            partners = np.array([n[b] - (a == b) for a, b in self.pairs])
            shells = 4 / 3 * np.pi * np.diff(self.edges**3)
            self._density.add(frame.index, neighbours / (partners[:, None] / frame.volume * shells))
        else:
            self._density.add(frame.index, neighbours / np.diff(self.edges))

    def _histogram(self, frame: Frame) -> np.ndarray:
        neighbours = NeighborList(cutoff=self.r_max, full_list=False, sorted=False)
        i, j, r = neighbours.compute(frame.wrapped, frame.cell, frame.pbc.tolist(), quantities="ijd", copy=True)
        kind = self._kinds[self._of_atom[i.astype(int)], self._of_atom[j.astype(int)]]
        n_bins = len(self.edges) - 1
        place = np.searchsorted(self.edges, r, side="right") - 1
        inside = (place < n_bins) & (kind >= 0)
        flat = np.bincount(kind[inside] * n_bins + place[inside], minlength=len(self.pairs) * n_bins)
        return flat.reshape(len(self.pairs), n_bins)

    def result(self) -> Result:
        """Curves of all pairs, and where their first peaks are."""
        names = ["-".join(pair) for pair in self.pairs]
        around = [f"{b} around {a}" for a, b in self.pairs]
        values, errors = self._density.mean, self._density.error
        r = 0.5 * (self.edges[1:] + self.edges[:-1])
        density = Panel(*(("g", "") if self.is_bulk else ("neighbours", "1/Å")), _curves(names, values, errors))
        running = Panel("coordination", "", _curves(around, self._neighbours.mean, self._neighbours.error))
        peaks = {name: float(r[v.argmax()]) for name, v in zip(names, values, strict=True) if v.any()}
        said = ", ".join(f"{name} {place:.2f} Å" for name, place in peaks.items())
        sentences = [f"radial distribution: highest at {said}"] if said and self.is_bulk else []
        return Result("r", "Å", r, [density, running], sentences, {"highest at (Å)": peaks})


def heights(cell: np.ndarray) -> np.ndarray:
    """Distances (3,) in Å between opposite faces of a cell."""
    return 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)


def _curves(names: list[str], values: np.ndarray, errors: np.ndarray) -> list[Curve]:
    return [Curve(*of_pair) for of_pair in zip(names, values, errors, strict=True)]
