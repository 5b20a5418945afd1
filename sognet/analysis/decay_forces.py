"""Forces per unit of each parameter that may say how an interaction decays: of Gaussians, and of what replaces them.

A Gaussian of a kernel is told from short-range interactions only by what these cannot do as well: pair functions within
the cutoff, the last layer of the energy network, and the last layer of the latent network but for its scale.
"""

import copy
import math
import time
from collections.abc import Collection, Iterable, Iterator
from itertools import combinations_with_replacement
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from sognet.data.graph import build_batch
from sognet.data.structure import Structure
from sognet.long_range import FourierConvolution
from sognet.long_range.decay import kernel_of
from sognet.long_range.ladder import ladder_kernel
from sognet.model import SOGNet
from sognet.model.baseline import baseline_part
from sognet.model.heads import Readout
from sognet.short_range.edges import edge_vectors

RADIAL_FUNCTIONS = 10
"""Functions of the distance of each pair of elements."""

TOLERANCE = 1e-4
"""Of the sums of the ladder's Gaussians."""


class ForceColumns(NamedTuple):
    """Of one structure and channel, (3N,) or (3N, n): what the kernel has to give, and what each parameter gives."""

    wanted: np.ndarray  # eV/Å, reference less the short range and the other channels
    learned: np.ndarray  # eV/Å, of the channel's kernel
    gaussians: np.ndarray  # of the ladder, (3N, n_widths)
    others: np.ndarray  # of what may make up for them, (3N, n_others)


def force_columns(
    model: SOGNet,
    structure: Structure,
    widths: np.ndarray,
    elements: Collection[int] | None = None,
    seconds: float = math.inf,
) -> list[ForceColumns]:
    """The columns of a structure with reference forces for each channel of the model's kernel.

    Parameters
    ----------
    model : with a long-range layer whose kernel is a sum of Gaussians; in double precision.
    structure : with forces.
    widths : of the ladder, Å.
    elements : atomic numbers whose pairs have columns, of all structures of a fit; None: of this structure.
    seconds : of a processor, that all the derivatives may take.

    Raises
    ------
    TimeoutError : they take longer.
    """
    end = time.process_time() + seconds
    with torch.enable_grad():
        graph = model._in_own_precision(build_batch([structure], model.cutoff).to(model.device))
        graph.pos = graph.pos.detach().requires_grad_()
        out = model._energies(graph, False, None)
        short_range = _forces(out["energy_short_range"], graph)
        latent = model.long_range_latents(out["latent"], graph.z)
        learned = _of_channels(model.long_range, latent, graph, end)
        pairs = combinations_with_replacement(sorted(set(structure.numbers if elements is None else elements)), 2)
        shared = list(_of_pairs(model, graph, pairs))
        shared += _of_last_layer(model.energy_head, out["energy_short_range"], graph, end)
        shared += _of_last_layer(model.latent_head, out["energy_long_range"], graph, end, without_scale=True)
        ladders = _of_ladders(model.long_range, latent, graph, widths, end)
        if model.baseline is not None:
            short_range = short_range + baseline_part(model.baseline, graph, model.cutoff)["forces"]
    wanted = torch.from_numpy(structure.forces).to(short_range) - short_range
    found = []
    for channel, ladder in enumerate(ladders):
        rest = [forces for other, forces in enumerate(learned) if other != channel]
        found.append(
            ForceColumns(
                _flat(wanted - sum(rest, torch.zeros_like(wanted))),
                _flat(learned[channel]),
                ladder,
                np.stack([_flat(column) for column in (*shared, *rest)], 1),
            )
        )
    return found


def _of_channels(layer: nn.Module, latent: Tensor, graph: Data, end: float) -> list[Tensor]:
    """Of each channel of the kernel, in whose weights the energy is linear."""
    layer = copy.deepcopy(layer)
    weights = layer.kernel.relative_weights.requires_grad_()
    (by_weight,) = torch.autograd.grad(_layer_energy(layer, latent, graph).sum(), weights, create_graph=True)
    return _forces_of_each((by_weight * weights.detach()).sum(1), graph, end)


def _layer_energy(layer: nn.Module, latent: Tensor, graph: Data) -> Tensor:
    return layer(latent, graph.pos, graph.cell, graph.pbc, graph.batch)


def _of_ladders(layer: nn.Module, latent: Tensor, graph: Data, widths: np.ndarray, end: float) -> list[np.ndarray]:
    """Of each Gaussian of the ladder in place of each channel of the kernel, (3N, n_widths)."""
    names = ("remove_self_interaction", "include_zero_mode", "n_species")
    settings = {name: getattr(layer, name) for name in names if hasattr(layer, name)}
    kernel = ladder_kernel(widths, kernel_of(layer).n_channels).to(latent)
    ladder = FourierConvolution(kernel, tolerance=TOLERANCE, **settings)
    energy = _layer_energy(ladder, latent, graph).sum()
    (by_weight,) = torch.autograd.grad(energy, kernel.relative_weights, create_graph=True)
    by_channel = (_forces_of_each(of_channel, graph, end) for of_channel in by_weight)
    return [np.stack([_flat(forces) for forces in of_widths], 1) for of_widths in by_channel]


def _of_pairs(model: SOGNet, graph: Data, pairs: Iterable[tuple[int, int]]) -> Iterator[Tensor]:
    """Of cos(nπ r/r_c) (1 − r/r_c)³ between the elements of each pair, of atomic numbers in ascending order."""
    vectors = edge_vectors(graph).detach()
    distances = vectors.norm(dim=1)
    neighbour, centre = graph.edge_index
    x = distances / model.cutoff
    n = math.pi * torch.arange(RADIAL_FUNCTIONS).to(x)
    phase = n * x[:, None]
    left = (1 - x)[:, None]
    slope = -(n * phase.sin() * left**3 + 3 * phase.cos() * left**2) / model.cutoff  # (E, n_functions)
    along = (slope[:, :, None] * (vectors / distances[:, None])[:, None]).detach()
    of_edges = torch.stack([graph.z[neighbour], graph.z[centre]])
    low, high = of_edges.amin(0), of_edges.amax(0)
    for first, second in pairs:
        between = (low == first) & (high == second)
        if between.any():
            forces = x.new_zeros(len(graph.z), *along.shape[1:]).index_add(0, centre[between], along[between])
            yield from forces.unbind(1)
        else:
            yield from x.new_zeros(RADIAL_FUNCTIONS, len(graph.z), 3)


def _of_last_layer(
    head: nn.Module | None, energy: Tensor, graph: Data, end: float, without_scale: bool = False
) -> Iterator[Tensor]:
    """Of each weight of the last layer of a network; without the direction of the weights themselves where asked."""
    if not isinstance(head, Readout):
        return
    weight = [m for m in head.network.modules() if isinstance(m, nn.Linear)][-1].weight
    (by_weight,) = torch.autograd.grad(energy.sum(), weight, create_graph=True)
    columns = torch.stack(_forces_of_each(by_weight.flatten(), graph, end))
    if without_scale:
        direction = nn.functional.normalize(weight.detach().flatten(), dim=0)
        columns = columns - direction[:, None, None] * torch.einsum("w,wni->ni", direction, columns)
    yield from columns


def _forces_of_each(energies: Iterable[Tensor], graph: Data, end: float) -> list[Tensor]:
    """Of each energy (N,3), until the processor time is that of the end."""
    found = []
    for energy in energies:
        if time.process_time() > end:
            raise TimeoutError("the derivatives of the forces take too long")
        found.append(_forces(energy, graph))
    return found


def _forces(energy: Tensor, graph: Data) -> Tensor:
    """(N,3), the negative derivative by the positions."""
    settings = {"retain_graph": True, "allow_unused": True, "materialize_grads": True}
    if not energy.requires_grad:
        return torch.zeros_like(graph.pos)
    return -torch.autograd.grad(energy.sum(), graph.pos, **settings)[0].detach()


def _flat(forces: Tensor) -> np.ndarray:
    return forces.detach().cpu().double().numpy().reshape(-1)
