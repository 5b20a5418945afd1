"""Plans of a whole model: what its parts compute once for the edges, elements, cells and counts of a batch."""

import copy
import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from sognet.nn.transfer import moved


@dataclass(frozen=True)
class ModelPlan:
    """Plans of the parts of a model, None for a part that has none."""

    short_range: Any = None
    long_range: Any = None

    def to(self, *args: Any, **kwargs: Any) -> "ModelPlan":
        """The same on another device."""
        return moved(self, *args, **kwargs)

    def covers(self, positions: Tensor) -> bool:
        """Whether the long range's plan serves for these positions (N,3), whose edges must be the same: along open
        directions, atoms may be no farther apart than it has room for.
        """
        return not hasattr(self.long_range, "covers") or self.long_range.covers(positions)


def make_plan(short_range: nn.Module, long_range: nn.Module | None, graph: Data, **settings: Any) -> ModelPlan:
    """Plan for a graph in the precision of the model, with `batch`.

    Parameters
    ----------
    settings : of the long-range layer's plan; what it does not take is left out.
    """
    of_edges = short_range.plan(graph) if hasattr(short_range, "plan") else None
    if not hasattr(long_range, "plan"):
        return ModelPlan(of_edges)
    taken = inspect.signature(long_range.plan).parameters
    settings = {name: value for name, value in settings.items() if name in taken}
    return ModelPlan(of_edges, long_range.plan(graph.cell, graph.pbc, graph.batch, graph.pos, **settings))


class Planner:
    """Plans of a model's parts for batches, made where the batches are: by worker processes, on the CPU.

    Parameters
    ----------
    model : a SOGNet; what plans depend on is copied.
    device : where the plans are used.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self.short_range = copy.deepcopy(model.short_range).cpu()
        self.long_range = copy.deepcopy(model.long_range).cpu() if model.long_range is not None else None
        self.dtype = model.dtype
        self.settings = {"n_latent": model.n_latent, "fixed_cells": True, "device": device.type}

    def __call__(self, batch: Data) -> ModelPlan:
        """Plan for a batch."""
        graph = copy.copy(batch)
        graph.pos, graph.cell = graph.pos.to(self.dtype), graph.cell.to(self.dtype)
        return make_plan(self.short_range, self.long_range, graph, **self.settings)
