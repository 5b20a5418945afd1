"""What a short-range model gives: features, and energies where it brings its own; tried on two atoms beforehand."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from ase.data import atomic_numbers
from torch import Tensor, nn
from torch_geometric.data import Data

from sognet.data.graph import build_batch
from sognet.data.structure import Structure
from sognet.interfaces import ShortRangeOutput


def as_output(given: Tensor | ShortRangeOutput) -> ShortRangeOutput:
    """Features alone as an output without energies."""
    return ShortRangeOutput(given) if isinstance(given, Tensor) else ShortRangeOutput(*given)


def brings_energies(short_range: nn.Module) -> bool:
    """Whether a short-range model gives atomic energies, found by evaluating it for two atoms.

    Raises
    ------
    ValueError : it lacks an attribute, or gives something of another shape or that does not depend on positions.
    """
    name = type(short_range).__name__
    for attribute in ("species", "cutoff", "n_features"):
        if not hasattr(short_range, attribute):
            raise ValueError(
                f"{name} has no attribute {attribute!r}; a short-range model has species, cutoff and n_features "
                "(sognet.interfaces.ShortRange)"
            )
    graph = two_atoms(short_range)
    with evaluating(short_range), torch.inference_mode(False), torch.enable_grad():
        features, energy = as_output(short_range(graph))
    expected = {"features": (features, (2, short_range.n_features)), "energies": (energy, (2,))}
    for what, (values, shape) in expected.items():
        if values is not None and (not isinstance(values, Tensor) or values.shape != shape):
            found = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise ValueError(f"{name} gives {what} of shape {found} for two atoms; expected {shape}")
    if features.dtype != graph.pos.dtype:
        raise ValueError(
            f"{name} gives features of {features.dtype} for positions of {graph.pos.dtype}; expected the same precision"
        )
    depending = features if energy is None else energy
    if not depending.requires_grad:
        raise ValueError(
            f"what {name} gives does not depend on graph.pos by differentiable operations, so there would be no forces"
        )
    return energy is not None


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; each part then goes back to its own."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def two_atoms(short_range: nn.Module) -> Data:
    """Two atoms within the cutoff of each other, where the module is and in its precision."""
    cutoff = float(short_range.cutoff)
    number = atomic_numbers[next(iter(short_range.species))]
    structure = Structure(
        numbers=np.array([number, number]),
        positions=np.array([[0.0, 0.0, 0.0], [0.3, 0.4, 0.3]]) * cutoff,
        cell=3 * cutoff * np.eye(3),
        pbc=np.array([True, True, True]),
        source="two atoms",
    )
    graph = build_batch([structure], cutoff)
    parameters = (p for p in (*short_range.parameters(), *short_range.buffers()) if p.is_floating_point())
    like = next(parameters, torch.empty(0))
    graph = graph.to(like.device)
    graph.pos, graph.cell = graph.pos.to(like.dtype).requires_grad_(), graph.cell.to(like.dtype)
    return graph
