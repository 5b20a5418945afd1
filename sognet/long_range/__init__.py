"""The long-range layer: a trainable sum-of-Gaussians kernel convolved over a structure in Fourier space.

Knows nothing of graphs or training, so it can be attached to any short-range model.
"""

from sognet.long_range.fourier_convolution import FourierConvolution
from sognet.long_range.multiplier import COULOMB_CONSTANT, SumOfGaussians
from sognet.long_range.start import log_spaced_convolution, power_law_convolution

__all__ = [
    "COULOMB_CONSTANT",
    "FourierConvolution",
    "SumOfGaussians",
    "log_spaced_convolution",
    "power_law_convolution",
]
