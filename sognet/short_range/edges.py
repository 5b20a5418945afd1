"""What every descriptor reads off a graph: vectors along edges, and what stays while edges and elements do."""

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from ase.data import atomic_numbers, chemical_symbols
from torch import Tensor, nn
from torch_geometric.data import Data


def edge_vectors(graph: Data) -> Tensor:
    """Vectors from the centre to the neighbour of each edge, (E,3) in Å, differentiable in positions and cell.

    `edge_index` holds the neighbours (sources) in its first row and the centres (targets) in its second;
    `cell_shift` counts the lattice vectors to the image of the neighbour.
    """
    neighbour, centre = graph.edge_index
    vectors = graph.pos.index_select(0, neighbour) - graph.pos.index_select(0, centre)
    shift = graph.cell_shift.to(graph.pos.dtype)
    if len(graph.cell) == 1:
        return vectors + shift @ graph.cell[0]
    cells = graph.cell.index_select(0, graph.batch.index_select(0, centre))
    return vectors + torch.einsum("ei,eij->ej", shift, cells)


class PairMatrix:
    """Values of edges laid out as matrices over the pairs of atoms of each structure, padded to the largest one.

    Parameters
    ----------
    graph : a batch or a single graph; edges to several images of one neighbour go to matrices of their own.
    """

    def __init__(self, graph: Data) -> None:
        neighbour, centre = graph.edge_index
        n_total = len(graph.z)
        batch = getattr(graph, "batch", None)
        self.structure = torch.zeros_like(graph.z) if batch is None else batch
        counts = torch.bincount(self.structure)
        self.n_structures, self.n_atoms = len(counts), int(counts.max())
        self.alike = n_total == self.n_structures * self.n_atoms  # all structures have the same size
        first = (counts.cumsum(0) - counts).index_select(0, self.structure)
        place = torch.arange(n_total, device=counts.device) - first
        self.atom = self.structure * self.n_atoms + place  # (N,), of each atom in (structures, n_atoms)
        pair, order = (centre * n_total + neighbour).sort()
        image = torch.empty_like(pair)
        image[order] = torch.arange(len(pair), device=pair.device) - torch.searchsorted(pair, pair)
        self.n_images = int(image.max()) + 1
        row = image * self.n_structures * self.n_atoms + self.atom.index_select(0, neighbour)
        self.element = row * self.n_atoms + place.index_select(0, centre)  # (E,), of each edge

    def to(self, *args: Any, **kwargs: Any) -> "PairMatrix":
        """The same on another device."""
        other = copy.copy(self)
        for name in ("structure", "atom", "element"):
            setattr(other, name, getattr(self, name).to(*args, **kwargs))
        return other

    @property
    def fill(self) -> float:
        """Edges per matrix element."""
        return len(self.element) / (self.n_images * self.n_structures * self.n_atoms**2)

    def matrices(self, values: Tensor, elsewhere: float) -> Tensor:
        """(E,) -> (n_images, n_structures, n_atoms²), neighbours before centres, `elsewhere` where there is no edge."""
        shape = (self.n_images, self.n_structures, self.n_atoms**2)
        return values.new_full((math.prod(shape),), elsewhere).index_copy(0, self.element, values).reshape(shape)

    def pad(self, values: Tensor) -> Tensor:
        """(..., N) -> (..., n_structures, n_atoms), 0 where there is no atom."""
        if self.alike:
            return values.unflatten(-1, (self.n_structures, self.n_atoms))
        padded = values.new_zeros(*values.shape[:-1], self.n_structures * self.n_atoms)
        return padded.index_copy(-1, self.atom, values).unflatten(-1, (self.n_structures, self.n_atoms))

    def unpad(self, values: Tensor) -> Tensor:
        """The inverse of `pad`."""
        values = values.flatten(-2)
        return values if self.alike else values.index_select(-1, self.atom)


class SpeciesIndex(nn.Module):
    """Position of an element in the list of species that a model knows.

    Parameters
    ----------
    species : chemical symbols.

    Raises
    ------
    ValueError : an unknown symbol or one that comes twice.
    """

    lookup: Tensor

    def __init__(self, species: list[str]) -> None:
        super().__init__()
        unknown = [s for s in species if s not in atomic_numbers]
        if unknown or len(set(species)) != len(species) or not species:
            raise ValueError(f"species must be different chemical symbols, got {list(species)}")
        self.species = list(species)
        lookup = torch.full((len(chemical_symbols),), -1)
        lookup[[atomic_numbers[s] for s in species]] = torch.arange(len(species))
        self.register_buffer("lookup", lookup, persistent=False)

    def forward(self, z: Tensor) -> Tensor:
        """Atomic numbers (N,) -> indices (N,); on the CPU an element that is not known raises a ValueError."""
        index = self.lookup.index_select(0, z)
        if index.device.type == "cpu" and bool((index < 0).any()):
            foreign = sorted({chemical_symbols[i] for i in z[index < 0].tolist()})
            raise ValueError(f"the model knows {', '.join(self.species)} but the structure has {', '.join(foreign)}")
        return index


@dataclass(frozen=True)
class EdgeLayout:
    """What a sum over neighbours as one batched matrix product needs, the same while edges and elements stay.

    Parameters
    ----------
    species : (N,) position of each atom's element in the list of the model's.
    slots : (N, n_max), n_max the largest number of neighbours: edge in each slot, 0 where there is none.
    filled : (N, n_max) whether there is one.
    pairs : pair matrices, where they are asked for.
    """

    species: Tensor
    slots: Tensor
    filled: Tensor
    pairs: PairMatrix | None = None

    @classmethod
    @torch.no_grad()
    def of(cls, graph: Data, species_index: SpeciesIndex, with_pairs: bool = False) -> "EdgeLayout":
        """Layout of a graph.

        Raises
        ------
        ValueError : edges that are not sorted by centre, an element that the model does not know (checked on the CPU).
        """
        species = species_index(graph.z)
        centre = graph.edge_index[1]
        if centre.device.type == "cpu" and not bool((centre[1:] >= centre[:-1]).all()):
            raise ValueError("the edges of a graph must be sorted by centre (edge_index[1]): sognet.data.build_graph")
        counts = torch.bincount(centre, minlength=len(graph.z))
        slot = torch.arange(int(counts.max()) if len(centre) else 0, device=centre.device)
        filled = slot < counts[:, None]
        first = counts.cumsum(0) - counts
        slots = torch.where(filled, first[:, None] + slot, 0)
        return cls(species, slots, filled, PairMatrix(graph) if with_pairs and len(centre) else None)
