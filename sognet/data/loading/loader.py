"""From planned batches to batches of graphs, built in worker processes, resumable in the middle of an epoch."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from torch_geometric.data import Batch, Data

from sognet.data.graph import build_graph, graph_without_edges, set_missing
from sognet.data.loading.batching import PlannedBatch
from sognet.data.split_contents import contents
from sognet.data.streaming.sharded import ShardedStructures
from sognet.data.structure import Structure
from sognet.targets import TARGETS

KEPT_ATOMS = 200_000
"""Graphs of splits in memory with at most this many atoms are kept once built."""


class GraphDataset(Dataset):
    """Graphs of structures; each carries its number as `id`.

    A reference value that only some of the structures have is NaN in the graphs of the others.

    Parameters
    ----------
    structures : what to make graphs of.
    cutoff : Å.
    edges : whether the graphs have them.
    """

    def __init__(self, structures: Sequence[Structure], cutoff: float, edges: bool = True) -> None:
        self.structures = structures
        self.cutoff = cutoff
        self.edges = edges
        self.contents = contents(structures)
        self.keep = not isinstance(structures, ShardedStructures) and self.contents.n_atoms.sum() <= KEPT_ATOMS
        self.kept: dict[int, Data] = {}

    def __len__(self) -> int:
        return len(self.structures)

    @cached_property
    def n_edges(self) -> np.ndarray:
        """Edges of each graph, (n_structures,): from the preparation of a streamed data set, else counted now."""
        if isinstance(self.structures, ShardedStructures):
            return self.structures.n_edges(self.cutoff)
        graphs = self if self.edges else (build_graph(s, self.cutoff) for s in self.structures)
        return np.array([graph.num_edges for graph in graphs], dtype=np.int64)

    def __getitem__(self, number: int) -> Data:
        graph = self.kept.get(number)
        if graph is None:
            structure = self.structures[number]
            graph = build_graph(structure, self.cutoff) if self.edges else graph_without_edges(structure)
            for name, target in TARGETS.items():
                if self.contents.count(name):
                    set_missing(graph, target)
            graph.id = torch.tensor([number])
            if self.keep:
                self.kept[number] = graph
        return graph


class PlannedGraphs(Dataset):
    """Batches of graphs by plan, with their `weight` in the loss (1,), and `counted` (B,), false for repeats."""

    def __init__(self, graphs: GraphDataset) -> None:
        self.graphs = graphs

    def __getitem__(self, planned: PlannedBatch) -> Batch:
        batch = Batch.from_data_list([self.graphs[i] for i in planned.structures])
        batch.weight = torch.tensor([planned.weight], dtype=torch.float64)
        batch.counted = torch.full((batch.num_graphs,), planned.weight > 0)
        return batch


class ResumableLoader(DataLoader):
    """Loader of a BatchPlan, whose state in a checkpoint says how many batches of the epoch were taken.

    Iterating starts the worker processes when the first batch is asked for, so the epoch may be set until then.
    """

    taken = 0  # batches of the epoch

    def __iter__(self) -> Iterator[Batch]:
        self.taken = self.sampler.start
        for batch in super().__iter__():
            self.taken += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Epoch and number of batches taken, the same on every rank."""
        return {"epoch": self.sampler.epoch, "batches": self.taken}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after the batches that were taken, where the plan is of the same epoch."""
        if state["epoch"] == self.sampler.epoch:
            self.sampler.start = self.taken = state["batches"]
