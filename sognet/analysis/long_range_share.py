"""What the long-range layer contributes to the forces, and whether the data determine how its kernel decays."""

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations_with_replacement
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from sognet.data.graph import build_batch
from sognet.data.structure import Structure
from sognet.long_range import SumOfGaussians
from sognet.long_range.decay import Boxes, fitted_decay, initial_kernel, kernel_of
from sognet.model import SOGNet
from sognet.model.baseline import bring_baseline

SAMPLE = 16
"""Structures that are looked at, with at most SAMPLE_ATOMS atoms in all."""

SAMPLE_ATOMS = 4_000

TILT = 0.5
"""Change of the exponent that the forces should tell."""

NOTICED = 0.05
"""Rise of the force error by another exponent from which on the data determine it."""

UNCHANGED = 0.02
"""Change of the exponent that is none."""


def long_range_forces(model: SOGNet, batch: Data) -> Tensor:
    """The part −∂E_LR/∂r of a model's forces, (N,3) in eV/Å, with what the latents' dependence on r adds."""
    batch = copy.copy(batch)
    with torch.enable_grad():
        batch.pos = batch.pos.to(model.dtype).detach().requires_grad_()
        energy = model(batch, forces=False, stress=False)["energy_long_range"]
        (gradient,) = torch.autograd.grad(energy.sum(), batch.pos, allow_unused=True, materialize_grads=True)
    return -gradient


def force_shares(model: SOGNet, structures: Sequence[Structure]) -> dict[str, float]:
    """Of some of the structures, in meV/Å: `force_rms`, `long_range_force_rms`, and `decay_sensitivity`.

    The sensitivity is by how much (RMS) the forces change where the exponent of the kernel is TILT larger or smaller,
    whichever is less, at the strength that changes them least: the weight of each Gaussian is multiplied by its
    bandwidth to the power ±TILT, and what remains of the difference after the best common factor counts.
    """
    device = model.device
    batch = build_batch(_sample(structures), model.cutoff).to(device)
    bring_baseline(model.baseline, batch, model.cutoff)
    forces = model(batch, stress=False)["forces"].detach().double()
    of_layer = long_range_forces(model, batch).double()
    found = {"force_rms": _rms(forces), "long_range_force_rms": _rms(of_layer)}
    kernel = kernel_of(model.long_range)
    if kernel is None:
        return found
    changes = []
    for tilt in (TILT, -TILT):
        with tilted(kernel, tilt):
            other = long_range_forces(model, batch).double()
        square = other.square().sum()
        factor = (of_layer * other).sum() / square if square > 0 else 0.0
        changes.append(_rms(of_layer - factor * other))
    return found | {"decay_sensitivity": min(changes)}


@contextmanager
def tilted(kernel: SumOfGaussians, exponent: float) -> Iterator[None]:
    """A kernel whose decay is steeper by an exponent, in place: each weight times its bandwidth to that power."""
    before = kernel.relative_weights.detach().clone()
    with torch.no_grad():
        middle = kernel.bandwidths.log().mean().exp()
        kernel.relative_weights.mul_((kernel.bandwidths / middle) ** exponent)
        try:
            yield
        finally:
            kernel.relative_weights.copy_(before)


def decays(model: SOGNet, boxes: Boxes, sensitivity: float | None, force_rmse: float | None) -> list[dict[str, Any]]:
    """The fitted decay of each channel's kernel, with what can be said of it; empty where the layer has none.

    `channel` says whose kernel it is, `initial_exponent` is that of the kernel before training, and `status` one of
    `fixed`, `hidden` (half of the box is not longer than the cutoff), `undetermined` (another exponent raises the force
    error by less than NOTICED), `unchanged` (the exponent is that of the start), `found`.
    """
    kernel = kernel_of(model.long_range)
    if kernel is None:
        return []
    initial, names = initial_kernel(kernel), channel_names(model, kernel.n_channels)
    found = []
    for channel in range(kernel.n_channels):
        decay = fitted_decay(kernel, model.cutoff, boxes.length, channel, boxes.periodic)
        before = fitted_decay(initial, model.cutoff, boxes.length, channel, boxes.periodic)
        if decay is None:
            continue
        exponent = before.exponent if before else None
        if not kernel.trainable:
            status = "fixed"
        elif boxes.length / 2 <= model.cutoff:
            status = "hidden"
        elif sensitivity is not None and force_rmse and error_rise(sensitivity, force_rmse) < NOTICED:
            status = "undetermined"
        elif exponent is not None and abs(decay.exponent - exponent) < UNCHANGED:
            status = "unchanged"
        else:
            status = "found"
        found.append(vars(decay) | {"channel": names[channel], "initial_exponent": exponent, "status": status})
    return found


def channel_names(model: SOGNet, n_channels: int) -> list[str]:
    """Names of the kernel's channels: their number, that of the latent, or the pair of elements."""
    if model.species_columns is None:
        return [str(channel) for channel in range(n_channels)]
    pairs = ["-".join(pair) for pair in combinations_with_replacement(model.species, 2)]
    if n_channels == len(pairs):
        return pairs
    return [f"{latent} {pair}" for latent in range(n_channels // len(pairs)) for pair in pairs]


def error_rise(sensitivity: float, force_rmse: float) -> float:
    """By which part of itself an error rises where the forces change by `sensitivity`, independently of it."""
    return math.hypot(1.0, sensitivity / force_rmse) - 1.0


def _sample(structures: Sequence[Structure]) -> list[Structure]:
    chosen, atoms = [], 0
    for structure in structures[:: max(1, len(structures) // SAMPLE)]:
        atoms += len(structure)
        if chosen and (atoms > SAMPLE_ATOMS or len(chosen) == SAMPLE):
            break
        chosen.append(structure)
    return chosen


def _rms(forces: Tensor) -> float:
    return 1000.0 * float(forces.square().mean().sqrt())
