"""A ladder of Gaussians of fixed widths on which every power law beyond a cutoff is a sum, so that forces are linear in
what is sought.

A power law is the bilateral series of [BSA], whose narrowest Gaussians are fitted to its slope beyond the cutoff.
"""

import math

import numpy as np

from sognet.long_range.multiplier import SumOfGaussians

BASE = math.sqrt(2)
"""Ratio of the widths of neighbours."""

NARROWEST = 3.5
"""The cutoff over the narrowest width: power laws up to r^-6 are followed to 3e-3 beyond the cutoff."""

FITTED = 4
"""Narrowest Gaussians of a power law that are fitted to its slope."""

FITTED_RANGE = 4.0
"""End of the distances at which they are fitted, over the cutoff."""


def ladder_widths(cutoff: float, box_length: float) -> np.ndarray:
    """Widths σ_l (n,) in Å, from well below the cutoff to beyond the box."""
    narrowest = cutoff / NARROWEST
    return narrowest * BASE ** np.arange(max(FITTED + 2, math.ceil(math.log(1.2 * box_length / narrowest, BASE))))


def ladder_kernel(widths: np.ndarray, n_channels: int = 1) -> SumOfGaussians:
    """Kernel g(r) = Σ_l exp(−r²/2σ_l²) in each channel, whose relative weights are those of the ladder."""
    weights = (2 * math.pi * widths**2) ** 1.5
    bandwidths = math.sqrt(2) / widths
    starts = (np.tile(values, (n_channels, 1)) for values in (weights, bandwidths))
    return SumOfGaussians(*starts, max_bandwidth=1.001 * bandwidths.max()).double()


def slopes(widths: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Derivative by r of exp(−r²/2σ²) at distances (n_r,) in Å, (n_r, n_widths)."""
    x = distances[:, None] / widths**2
    return -x * np.exp(-0.5 * x * distances[:, None])


def power_law_weights(exponent: float, widths: np.ndarray, cutoff: float) -> np.ndarray:
    """Weights (n,) with which the ladder is r^(−exponent) beyond the cutoff (Å)."""
    wider = widths[-1] * BASE ** np.arange(1, 60)  # of no consequence but for their sum
    factor = 2 * math.log(BASE) / math.gamma(exponent / 2)
    weights, of_wider = (factor * (2 * w**2) ** (-exponent / 2) for w in (widths, wider))
    distances = np.geomspace(cutoff, FITTED_RANGE * cutoff, 80)
    wanted = -exponent * distances ** (-exponent - 1)
    columns = slopes(widths, distances) / np.abs(wanted)[:, None]
    left = wanted - slopes(wider, distances) @ of_wider
    left = left / np.abs(wanted) - columns[:, FITTED:] @ weights[FITTED:]
    weights[:FITTED] = np.linalg.lstsq(columns[:, :FITTED], left, rcond=1e-10)[0]
    return weights
