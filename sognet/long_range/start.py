"""Fourier convolution layers by the start of their kernel, with all settings flat: what configurations use."""

from typing import Any

from sognet.long_range.fourier_convolution import FourierConvolution
from sognet.long_range.multiplier import COULOMB_CONSTANT, SumOfGaussians


def power_law_convolution(
    exponent: float = 1.0,
    cutoff: float = 5.0,
    n_gaussians: int = 12,
    n_channels: int = 1,
    base: float = 2.0,
    amplitude: float = COULOMB_CONSTANT,
    trainable: bool = True,
    **layer: Any,
) -> FourierConvolution:
    """Layer whose kernel starts as r^(−exponent); see SumOfGaussians.power_law and FourierConvolution."""
    kernel = SumOfGaussians.power_law(exponent, cutoff, n_gaussians, n_channels, base, amplitude, trainable)
    return FourierConvolution(kernel, **layer)


def log_spaced_convolution(
    s_min: float,
    s_max: float,
    n_gaussians: int = 12,
    n_channels: int = 1,
    weight: float = COULOMB_CONSTANT,
    trainable: bool = True,
    **layer: Any,
) -> FourierConvolution:
    """Layer whose kernel starts log-spaced; see SumOfGaussians.log_spaced and FourierConvolution."""
    kernel = SumOfGaussians.log_spaced(s_min, s_max, n_gaussians, n_channels, weight, trainable)
    return FourierConvolution(kernel, **layer)
