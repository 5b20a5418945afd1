"""From a structure to the periodic graph that models read."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from ase.cell import Cell
from torch_geometric.data import Batch, Data
from vesin import NeighborList

from sognet.data.baseline_labels import BaselineKeys
from sognet.data.structure import Structure, check_distances
from sognet.nn.precision import FAR
from sognet.targets import TARGETS, Target


def build_graph(structure: Structure, cutoff: float) -> Data:
    """Graph of a structure, with all periodic images within the cutoff (Å).

    `z` (N,), `pos` (N,3), `cell` (1,3,3), `pbc` (1,3), `charge` (1,); `edge_index` (2,E) holds neighbours in its first
    and centres in its second row, sorted by centre, and `cell_shift` (E,3) the lattice vectors to the neighbour's
    image, so that an edge is pos[neighbour] + cell_shift·cell − pos[centre]. Atoms that a trajectory without wrapping
    has taken far from the origin are counted from their images near it. Targets where the structure has them:
    `energy` (1,), `forces` (N,3), `stress` (1,3,3) of periodic directions, and further ones of the
    table (sognet.targets). All in double precision.

    Raises
    ------
    InputError : two atoms, or an atom and an image, in one place, where forces are not defined.
    """
    box = Cell(structure.cell).complete().array  # directions that do not repeat may lack a lattice vector
    neighbours = NeighborList(cutoff=cutoff, full_list=True, sorted=True)
    centre, neighbour, shift, distance = neighbours.compute(
        near_origin(structure), box, structure.pbc.tolist(), quantities="ijSd", copy=True
    )
    check_distances(centre, neighbour, distance, structure.source)
    graph = graph_without_edges(structure)
    graph.edge_index = torch.from_numpy(np.stack([neighbour, centre]).astype(np.int64))
    graph.cell_shift = torch.from_numpy(shift.astype(np.int64))
    return graph


def near_origin(structure: Structure) -> np.ndarray:
    """Positions (N, 3), of atoms far from the origin those of their periodic images in the cell."""
    far = np.abs(structure.positions).max(axis=1) > FAR
    if not (far.any() and structure.pbc.any()):
        return structure.positions
    box = Cell(structure.cell).complete().array
    cells = np.floor(np.linalg.solve(box.T, structure.positions.T).T) * structure.pbc
    far &= (np.abs(cells) > 1).any(axis=1)  # not in a large cell, nor about its faces
    return structure.positions - np.where(far[:, None], cells, 0.0) @ box


def graph_without_edges(structure: Structure) -> Data:
    """The same without `edge_index` and `cell_shift`, for which add_edges can look later."""
    graph = Data(
        z=torch.from_numpy(structure.numbers.astype(np.int64)),
        pos=torch.from_numpy(near_origin(structure)),
        cell=torch.from_numpy(structure.cell)[None],
        pbc=torch.from_numpy(structure.pbc)[None],
        charge=torch.tensor([structure.charge], dtype=torch.float64),
    )
    for target in TARGETS.values():
        if (value := target.reference(structure)) is not None:
            graph[target.name] = _tensor(target, value)
    for identity, labels in structure.baselines.items():
        keys = BaselineKeys.of(identity)
        graph[keys.energy] = torch.tensor([labels.energy], dtype=torch.float64)
        graph[keys.forces] = torch.from_numpy(labels.forces)
        graph[keys.stress] = torch.from_numpy(labels.stress)[None]
    return graph


def build_batch(structures: Sequence[Structure], cutoff: float) -> Batch:
    """Graphs of structures as one batch; a reference value that only some of them have is NaN for the others.

    What a baseline gives is in it where all of them have it.
    """
    shared = set.intersection(*(set(structure.baselines) for structure in structures))
    structures = [
        s if s.baselines.keys() == shared else replace(s, baselines={name: s.baselines[name] for name in shared})
        for s in structures
    ]
    graphs = [build_graph(structure, cutoff) for structure in structures]
    for name, target in TARGETS.items():
        if any(name in graph for graph in graphs):
            for graph in graphs:
                set_missing(graph, target)
    return Batch.from_data_list(graphs)


def edges_within(graph: Data, cutoff: float) -> tuple[torch.Tensor, torch.Tensor]:
    """`edge_index` (2, E) and `cell_shift` (E, 3) of a graph or batch with another cutoff (Å), where the graph is."""
    batch = graph.batch if "batch" in graph else torch.zeros_like(graph.z)
    bounds = np.cumsum([0, *batch.bincount(minlength=len(graph.cell)).tolist()])
    positions, cells, pbc = (values.detach().cpu().double().numpy() for values in (graph.pos, graph.cell, graph.pbc))
    neighbours = NeighborList(cutoff=cutoff, full_list=True, sorted=True)
    pairs, shifts = [], []
    for first, last, cell, repeats in zip(bounds[:-1], bounds[1:], cells, pbc, strict=True):
        box = Cell(cell).complete().array
        found = neighbours.compute(positions[first:last], box, repeats.astype(bool).tolist(), "ijS", copy=True)
        pairs.append(np.stack([found[1], found[0]]).astype(np.int64) + first)
        shifts.append(found[2].astype(np.int64))
    of_all = torch.from_numpy(np.concatenate(pairs, axis=1)), torch.from_numpy(np.concatenate(shifts))
    return tuple(values.to(graph.pos.device) for values in of_all)


def set_missing(graph: Data, target: Target) -> None:
    """Mark the values of a target that a graph lacks as NaN, for batches in which others have it."""
    if target.name not in graph:
        graph[target.name] = _tensor(target, np.full(target.values_shape(len(graph.z)), np.nan))


def _tensor(target: Target, value: float | np.ndarray) -> torch.Tensor:
    values = torch.as_tensor(value, dtype=torch.float64)
    return values if target.per_atom else values[None]
