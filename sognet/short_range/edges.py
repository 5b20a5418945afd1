"""What every descriptor reads off a graph: vectors along edges and the index of each atom's species."""

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


def neighbour_slots(graph: Data) -> tuple[Tensor, Tensor]:
    """Edges laid out as (N, n_max) slots, n_max the largest number of neighbours: edge in each slot and whether it
    is filled. A sum over neighbours is then one batched matrix product.

    Raises
    ------
    ValueError : edges that are not sorted by centre (checked on the CPU).
    """
    centre = graph.edge_index[1]
    if centre.device.type == "cpu" and not bool((centre[1:] >= centre[:-1]).all()):
        raise ValueError("the edges of a graph must be sorted by centre (edge_index[1]); see sognet.data.build_graph")
    counts = torch.bincount(centre, minlength=len(graph.z))
    slot = torch.arange(int(counts.max()), device=centre.device)
    filled = slot < counts[:, None]
    first = counts.cumsum(0) - counts
    return torch.where(filled, first[:, None] + slot, 0), filled


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
