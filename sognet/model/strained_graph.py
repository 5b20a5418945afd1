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
    """dE/dε/V along the periodic directions, zero along open ones and where there is no cell with a volume."""
    volume = volumes(graph.cell.detach().double()).to(virial.dtype)[:, None, None]
    along = periodic_projector(graph.cell.detach(), graph.pbc).to(virial.dtype)
    has_volume = volume > 0
    return torch.where(has_volume, along @ virial @ along / torch.where(has_volume, volume, 1.0), 0.0)


def periodic_projector(cell: Tensor, pbc: Tensor) -> Tensor:
    """Projector (B,3,3) on what the periodic vectors span, of cells (B,3,3) in Å with periodicity (B,3)."""
    vectors = cell.double() * pbc[..., None]
    first, second, third = vectors.unbind(1)
    normal = sum(torch.linalg.cross(*pair) for pair in ((first, second), (second, third), (third, first)))
    n_periodic = pbc.sum(1)[:, None, None]
    every = torch.eye(3, dtype=torch.float64, device=cell.device).expand_as(vectors)
    projector = torch.where(n_periodic == 3, every, torch.zeros_like(every))
    projector = torch.where(n_periodic == 2, every - _on_line(normal), projector)
    return torch.where(n_periodic == 1, _on_line(vectors.sum(1)), projector)


def _on_line(direction: Tensor) -> Tensor:
    """Projector on the line along a vector (B,3); zero along none."""
    squared = direction.square().sum(1)[:, None, None]
    return direction[:, :, None] * direction[:, None] / torch.where(squared > 0, squared, 1.0)
