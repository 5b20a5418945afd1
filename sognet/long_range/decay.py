"""What a long-range kernel has learned: the exponent of its decay, over the distances that the data constrain."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from sognet.long_range.multiplier import COULOMB_CONSTANT, SumOfGaussians


class Boxes(NamedTuple):
    """Typical length in Å of the boxes of a data set, or twice the extent of structures that are not periodic."""

    length: float
    periodic: bool


@dataclass(frozen=True)
class Decay:
    """g(r) ≈ amplitude · r^(−exponent) for the distances `r_min` to `r_max` (Å); amplitude in eV·Å^exponent.

    `coulomb_ratio` is the mean of −g′(r)·r² over Coulomb's constant: 1 for charges in vacuum, the inverse of the
    permittivity in a medium; without meaning where the latents are not charges in e. `misfit` is the root mean square
    of what is left of ln|g′(r)| after the fit.
    """

    exponent: float
    amplitude: float
    coulomb_ratio: float
    r_min: float
    r_max: float
    misfit: float = 0.0


def kernel_of(layer: nn.Module | None) -> SumOfGaussians | None:
    """Kernel of a long-range layer, None where it has none of this kind."""
    kernel = getattr(layer, "kernel", None)
    return kernel if isinstance(kernel, SumOfGaussians) else None


def constrained_kernel(kernel: SumOfGaussians, box_length: float, periodic: bool = True) -> SumOfGaussians:
    """Kernel, on the CPU, without the Gaussians that a box cannot see: those below 1e-3 of their maximum at its
    smallest |k|; a copy where nothing is periodic.
    """
    if not periodic:
        box_length = math.inf
    k_min = 2 * math.pi / box_length if box_length > 0 else math.inf
    with torch.no_grad():
        seen = torch.exp(-((k_min / kernel.bandwidths) ** 2)) > 1e-3
        weights = torch.where(seen, kernel.weights, 0.0)
        return SumOfGaussians(weights, kernel.bandwidths, max_bandwidth=1.001 * kernel.max_bandwidth).cpu()


def initial_kernel(kernel: SumOfGaussians) -> SumOfGaussians:
    """The kernel as it was before training."""
    return SumOfGaussians(kernel.start_weights, kernel.start_bandwidths, max_bandwidth=kernel.max_bandwidth)


def fitted_decay(
    kernel: SumOfGaussians, r_min: float, box_length: float, channel: int = 0, periodic: bool = True
) -> Decay | None:
    """Power law that fits the learned kernel between the cutoff and a third of the box.

    With k = 0 excluded a constant in g changes nothing, so the exponent p is read from the slope of
    ln|g′(r)| against ln r, since g′(r) ∝ r^−(p+1); only Gaussians and distances that the box's modes constrain count.

    Parameters
    ----------
    kernel : the trained kernel.
    r_min : the short-range cutoff in Å, below which the short-range model hides the kernel.
    box_length : length of the box in Å, of what is not periodic twice its extent.
    channel : latent channel.
    periodic : whether there is a box, which sees only the Gaussians that its modes reach; without one all count.

    Returns
    -------
    Decay, or None where the box sees none of the Gaussians.
    """
    r_max = max(box_length / 3, 1.5 * r_min)
    with torch.enable_grad():
        r = torch.logspace(math.log10(r_min), math.log10(r_max), 200, dtype=torch.float64).requires_grad_()
        g = constrained_kernel(kernel, box_length, periodic).double()(r)[channel]
        (slope,) = torch.autograd.grad(g.sum(), r)
    if not slope.all():
        return None
    x, y = r.detach().log(), slope.abs().log()
    gradient = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
    exponent = -gradient.item() - 1
    amplitude = (-slope * r.detach() ** (exponent + 1)).mean().item() / exponent
    coulomb_ratio = (-slope * r.detach().square()).mean().item() / COULOMB_CONSTANT
    residual = y - y.mean() - gradient * (x - x.mean())
    return Decay(exponent, amplitude, coulomb_ratio, r_min, r_max, residual.square().mean().sqrt().item())
