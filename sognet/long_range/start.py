"""Fourier convolution layers by the start of their kernel, with all settings flat: what configurations use.

With `n_species` the kernel has its channels for every pair of species, all alike at the start.
"""

import inspect
from typing import Any

from sognet.long_range.fourier_convolution import FourierConvolution
from sognet.long_range.multiplier import SumOfGaussians
from sognet.long_range.species_pairs import kernel_of_pairs

LAYER_SETTINGS = set(inspect.signature(FourierConvolution).parameters) - {"kernel"}


def power_law_convolution(**settings: Any) -> FourierConvolution:
    """Layer whose kernel starts as r^(−p): settings of SumOfGaussians.power_law and of FourierConvolution."""
    layer, kernel = _shared_out(settings)
    return _convolution(SumOfGaussians.power_law(**kernel), layer)


def log_spaced_convolution(**settings: Any) -> FourierConvolution:
    """Layer whose kernel starts log-spaced: settings of SumOfGaussians.log_spaced and of FourierConvolution."""
    layer, kernel = _shared_out(settings)
    return _convolution(SumOfGaussians.log_spaced(**kernel), layer)


def _convolution(kernel: SumOfGaussians, settings: dict[str, Any]) -> FourierConvolution:
    return FourierConvolution(kernel_of_pairs(kernel, settings.get("n_species", 1)), **settings)


def _shared_out(settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    layer = {name: value for name, value in settings.items() if name in LAYER_SETTINGS}
    return layer, {name: value for name, value in settings.items() if name not in LAYER_SETTINGS}
