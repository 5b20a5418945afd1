"""Copies of graphs whose positions and cells may be replaced, their strain, and the stress."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from sognet.long_range.reciprocal_grid import volumes


class _TracedGraph:
    """Copy of a graph for compilers, which cannot copy torch_geometric's."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.names = (*values, "batch")  # which may be set later
        for name, value in values.items():
            setattr(self, name, value)

    def __contains__(self, name: str) -> bool:
        return hasattr(self, name)


def copied(graph: Data) -> Data:
    """A graph whose tensors may be replaced while the one passed in stays as it is."""
    if not torch.compiler.is_compiling():
        return copy.copy(graph)
    if isinstance(graph, _TracedGraph):
        return _TracedGraph({name: getattr(graph, name) for name in graph.names if name in graph})
    return _TracedGraph(dict(graph.stores[0].items()))


def deform(graph: Data, strain: Tensor) -> None:
    """Apply a strain (B,3,3), symmetrised, to positions and cell."""
    symmetric = (strain + strain.mT) / 2
    if len(strain) == 1:
        graph.pos = graph.pos + graph.pos @ symmetric[0]
    else:
        graph.pos = graph.pos + torch.einsum("ni,nij->nj", graph.pos, symmetric.index_select(0, graph.batch))
    graph.cell = graph.cell + graph.cell @ symmetric


def stress_of(virial: Tensor, graph: Data) -> Tensor:
    """dE/dε/V of the periodic structures."""
    volume = volumes(graph.cell.detach().double()).to(virial.dtype)[:, None, None]
    periodic = graph.pbc.all(1)[:, None, None] & (volume > 0)
    return torch.where(periodic, virial / torch.where(periodic, volume, 1.0), 0.0)
