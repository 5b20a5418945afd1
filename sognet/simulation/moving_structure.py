"""Graphs of one structure that moves: what stays from step to step is kept, edges are all within the cutoff."""

from dataclasses import replace

import numpy as np
import torch
from ase.cell import Cell
from torch_geometric.data import Data
from vesin import NeighborList

from sognet.data.graph import graph_without_edges, near_origin
from sognet.data.structure import Structure, check_distances
from sognet.model import SOGNet
from sognet.model.plan import ModelPlan

SKIN = 0.8
"""Å beyond the cutoff, within which pairs are kept; 0.3 to 1.2 take the same time for water at 300 K."""

ROUNDING = 1e-9
"""Å by which what is kept is wider than it has to be."""


class PairList:
    """Pairs within a cutoff, picked out of a list with a skin that serves while no pair beyond it can have come closer.

    With r' = r F + δ for a deformation F of the cell, a pair that was at a distance d is at least σ_min(F) d − 2 max|δ|
    apart, δ counted from its mean. In a cell that stays, that allows every atom half of the skin. Pairs are sorted by
    centre, neighbour and image, so that they depend on the positions alone, not on when the list was made.

    Parameters
    ----------
    cutoff : Å.
    skin : Å.
    """

    def __init__(self, cutoff: float, skin: float = SKIN) -> None:
        self.cutoff, self.skin = cutoff, skin
        self.positions: np.ndarray | None = None  # for which the list was made
        self.box = self.box_of_shifts = np.zeros((3, 3))
        self.pbc = np.zeros(3, dtype=bool)
        self.n_made = 0

    def within_cutoff(self, positions: np.ndarray, structure: Structure) -> tuple[np.ndarray, np.ndarray]:
        """Neighbours and centres (2, E) of a structure at positions (N, 3), and images (E, 3), as of build_graph.

        Raises
        ------
        InputError : atoms in one place.
        """
        box = Cell(structure.cell).complete().array
        if not self._serves(positions, box, structure.pbc):
            self._make(positions, box, structure.pbc)
        if not np.array_equal(box, self.box_of_shifts):
            self.shifts, self.box_of_shifts = self.images.astype(float) @ box, box
        vectors = positions.take(self.pairs[0], axis=0)  # takes half as long as an index in brackets
        vectors -= positions.take(self.pairs[1], axis=0)
        vectors += self.shifts
        squares = np.einsum("ei,ei->e", vectors, vectors)
        within = np.flatnonzero(squares <= self.cutoff**2)
        pairs = self.pairs.take(within, axis=1)
        if len(within):
            nearest = within[[squares[within].argmin()]]
            check_distances(*self.pairs[::-1, nearest], np.sqrt(squares[nearest]), structure.source)
        return pairs, self.images.take(within, axis=0)

    def _serves(self, positions: np.ndarray, box: np.ndarray, pbc: np.ndarray) -> bool:
        if self.positions is None or self.positions.shape != positions.shape or (self.pbc != pbc).any():
            return False
        moved, least_stretch = positions - self.positions, 1.0
        if not np.array_equal(box, self.box):
            deformation = np.linalg.solve(self.box, box)
            moved = positions - self.positions @ deformation
            least_stretch = np.linalg.svd(deformation, compute_uv=False).min()
        moved = moved - moved.mean(0)  # what all do alike changes no distance
        farthest = np.sqrt(np.einsum("ni,ni->n", moved, moved).max(initial=0.0))
        return bool(least_stretch * (self.cutoff + self.skin) - 2 * farthest >= self.cutoff + ROUNDING)

    def _make(self, positions: np.ndarray, box: np.ndarray, pbc: np.ndarray) -> None:
        neighbours = NeighborList(cutoff=self.cutoff + self.skin, full_list=True)
        centre, neighbour, image = neighbours.compute(positions, box, pbc.tolist(), quantities="ijS", copy=True)
        centre, neighbour, image = (values.astype(np.int64) for values in (centre, neighbour, image))
        key = centre * len(positions) + neighbour
        for axis in range(3):
            lowest, highest = image[:, axis].min(initial=0), image[:, axis].max(initial=0)
            key = key * (highest - lowest + 1) + image[:, axis] - lowest
        order = key.argsort()
        self.pairs, self.images = np.stack([neighbour[order], centre[order]]), image[order]
        self.positions, self.box, self.pbc = positions.copy(), box, pbc.copy()
        self.shifts, self.box_of_shifts = self.images.astype(float) @ box, box
        self.n_made += 1


class KeptPlan:
    """Plan of a model, of which parts are made anew only where what they depend on has changed."""

    def __init__(self) -> None:
        self.plan: ModelPlan | None = None
        self.graph: Data | None = None  # for which it was made

    def of(self, model: SOGNet, graph: Data) -> ModelPlan:
        """Plan for a graph. That of the long range is kept in the same cell, where it does not depend on positions."""
        plan = self.plan
        if not self._is_for_atoms_and_cell_of(graph):
            self.plan = model.plan(graph, fixed_cells=True)
        elif not torch.equal(plan.edge_index, graph.edge_index):
            with torch.no_grad():
                of_edges = model.short_range.plan(graph)
            self.plan = replace(plan, short_range=of_edges, edge_index=graph.edge_index)
        self.graph = graph
        return self.plan

    def _is_for_atoms_and_cell_of(self, graph: Data) -> bool:
        if self.plan is None or self.plan.short_range is None:
            return False
        same = all(torch.equal(self.graph[name], graph[name]) for name in ("z", "cell", "pbc"))
        return same and bool(graph.pbc.all()) and self.plan.covers(graph.pos)


class MovingStructure:
    """Graphs of structures, each of which is mostly the one before a step later; any other is right as well.

    Parameters
    ----------
    device : where they are used.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.lists: dict[float, PairList] = {}
        self.plans: dict[int, KeptPlan] = {}

    def graph(self, structure: Structure, cutoff: float) -> Data:
        """Graph of a structure with all edges within a cutoff in Å, sorted; see build_graph."""
        graph = graph_without_edges(structure)
        pairs = self.lists.setdefault(cutoff, PairList(cutoff))
        edges, images = pairs.within_cutoff(near_origin(structure), structure)
        graph.edge_index, graph.cell_shift = torch.from_numpy(edges), torch.from_numpy(images)
        graph.batch = torch.zeros_like(graph.z)
        if (field := structure.info.get("field")) is not None:
            graph.field = torch.as_tensor(field, dtype=torch.float64)[None]
        return graph if self.device.type == "cpu" else graph.to(self.device)

    def plan(self, number: int, model: SOGNet, graph: Data) -> ModelPlan:
        """Plan of the member of this number for a graph."""
        return self.plans.setdefault(number, KeptPlan()).of(model, graph)
