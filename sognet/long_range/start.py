"""Fourier convolution layers by the start of their kernel, with all settings flat: what configurations use."""

import inspect
from typing import Any

from sognet.long_range.fourier_convolution import FourierConvolution
from sognet.long_range.multiplier import SumOfGaussians

LAYER_SETTINGS = set(inspect.signature(FourierConvolution).parameters) - {"kernel"}


def power_law_convolution(**settings: Any) -> FourierConvolution:
    """Layer whose kernel starts as r^(−p): settings of SumOfGaussians.power_law and of FourierConvolution."""
    layer, kernel = _shared_out(settings)
    return FourierConvolution(SumOfGaussians.power_law(**kernel), **layer)


def log_spaced_convolution(**settings: Any) -> FourierConvolution:
    """Layer whose kernel starts log-spaced: settings of SumOfGaussians.log_spaced and of FourierConvolution."""
    layer, kernel = _shared_out(settings)
    return FourierConvolution(SumOfGaussians.log_spaced(**kernel), **layer)


def _shared_out(settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    layer = {name: value for name, value in settings.items() if name in LAYER_SETTINGS}
    return layer, {name: value for name, value in settings.items() if name not in LAYER_SETTINGS}
