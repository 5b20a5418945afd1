"""From a structure to the periodic graph that models read."""

import numpy as np
import torch
from ase.cell import Cell
from torch_geometric.data import Data
from vesin import NeighborList

from sognet.data.structure import Structure, check_distances


def build_graph(structure: Structure, cutoff: float) -> Data:
    """Graph of a structure, with all periodic images within the cutoff (Å).

    `z` (N,), `pos` (N,3), `cell` (1,3,3), `pbc` (1,3), `charge` (1,); `edge_index` (2,E) holds neighbours in its first
    and centres in its second row, sorted by centre, and `cell_shift` (E,3) the lattice vectors to the neighbour's
    image, so that an edge is pos[neighbour] + cell_shift·cell − pos[centre]. Targets where the structure has them:
    `energy` (1,), `forces` (N,3), `stress` (1,3,3). All in double precision.

    Raises
    ------
    InputError : two atoms, or an atom and an image, in one place, where forces are not defined.
    """
    box = Cell(structure.cell).complete().array  # directions that do not repeat may lack a lattice vector
    neighbours = NeighborList(cutoff=cutoff, full_list=True, sorted=True)
    centre, neighbour, shift, distance = neighbours.compute(
        structure.positions, box, structure.pbc.tolist(), quantities="ijSd", copy=True
    )
    check_distances(centre, neighbour, distance, structure.source)
    graph = graph_without_edges(structure)
    graph.edge_index = torch.from_numpy(np.stack([neighbour, centre]).astype(np.int64))
    graph.cell_shift = torch.from_numpy(shift.astype(np.int64))
    return graph


def graph_without_edges(structure: Structure) -> Data:
    """The same without `edge_index` and `cell_shift`, for which add_edges can look later."""
    graph = Data(
        z=torch.from_numpy(structure.numbers.astype(np.int64)),
        pos=torch.from_numpy(structure.positions),
        cell=torch.from_numpy(structure.cell)[None],
        pbc=torch.from_numpy(structure.pbc)[None],
        charge=torch.tensor([structure.charge], dtype=torch.float64),
    )
    if structure.energy is not None:
        graph.energy = torch.tensor([structure.energy], dtype=torch.float64)
    if structure.forces is not None:
        graph.forces = torch.from_numpy(structure.forces)
    if structure.stress is not None:
        graph.stress = torch.from_numpy(structure.stress)[None]
    return graph
