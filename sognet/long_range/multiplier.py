"""The sum-of-Gaussians multiplier ĝ(k) and its exact real-space counterpart g(r).

[SOG-Net] Ji, Liang, Xu, Phys. Rev. Lett. 135, 178001 (2025), arXiv:2502.04668;
[BSA] Beylkin, Monzón, Appl. Comput. Harmon. Anal. 28, 131 (2010).
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor, nn

from sognet.nn.precision import DoubleBuffers

COULOMB_CONSTANT = 14.3996454784255
"""e²/(4πε₀) in eV·Å (CODATA 2018)."""

BANDWIDTH_HEADROOM = 1.5
"""The largest bandwidth that training can reach, over the widest one of the start."""


class SumOfGaussians(DoubleBuffers):
    """Multiplier ĝ_p(k) = Σ_l w_lp exp(−k²/s_lp²) of each channel p, trainable in w and s.

    In real space g_p(r) = Σ_l w_lp (s_lp/(2√π))³ exp(−s_lp² r²/4). Weights are trained as factors on their
    start and bandwidths through a sigmoid, s = s_max σ(x), so that every trainable number is of order one
    although the weights of a power law span eight decades, and every bandwidth stays within (0, s_max].

    Parameters
    ----------
    start_weights : (n_channels, n_gaussians), eV·Å³ per squared latent; a latent is a charge in e where the
        weights carry Coulomb's constant.
    start_bandwidths : (n_channels, n_gaussians), 1/Å, positive.
    max_bandwidth : s_max in 1/Å; by default 1.5 times the largest start bandwidth.
    trainable : whether weights and bandwidths are trained.

    Raises
    ------
    ValueError : shapes differ, a bandwidth is not positive, or `max_bandwidth` is not above all of them.
    """

    start_weights: Tensor
    start_bandwidths: Tensor
    start_logits: Tensor

    def __init__(
        self,
        start_weights: Sequence[Sequence[float]] | Tensor,
        start_bandwidths: Sequence[Sequence[float]] | Tensor,
        max_bandwidth: float | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__()
        weights = torch.as_tensor(start_weights, dtype=torch.float64)
        bandwidths = torch.as_tensor(start_bandwidths, dtype=torch.float64, device=weights.device)
        if weights.ndim != 2 or weights.shape != bandwidths.shape:
            raise ValueError(
                "weights and bandwidths must both be (n_channels, n_gaussians), "
                f"got {tuple(weights.shape)} and {tuple(bandwidths.shape)}"
            )
        if not (bandwidths > 0).all():
            raise ValueError(f"bandwidths must be positive, got {bandwidths.tolist()}")
        widest = bandwidths.max().item()
        if max_bandwidth is None:
            max_bandwidth = BANDWIDTH_HEADROOM * widest
        if max_bandwidth <= widest:
            raise ValueError(f"max_bandwidth {max_bandwidth} must exceed the largest start bandwidth, {widest}")
        self.max_bandwidth = float(max_bandwidth)
        self.trainable = trainable
        self.register_buffer("start_weights", weights)
        self.register_buffer("start_bandwidths", bandwidths)
        self.register_buffer("start_logits", torch.logit(bandwidths / max_bandwidth), persistent=False)
        dtype = torch.get_default_dtype()
        self.relative_weights = nn.Parameter(torch.ones_like(weights, dtype=dtype), requires_grad=trainable)
        self.bandwidth_shift = nn.Parameter(torch.zeros_like(weights, dtype=dtype), requires_grad=trainable)

    @classmethod
    def power_law(
        cls,
        exponent: float = 1.0,
        cutoff: float = 5.0,
        n_gaussians: int = 12,
        n_channels: int = 1,
        base: float = 2.0,
        amplitude: float = COULOMB_CONSTANT,
        trainable: bool = True,
        exponents: Sequence[float] | None = None,
    ) -> "SumOfGaussians":
        """Start from `amplitude` (eV·Å^p) times r^(−exponent) beyond `cutoff` (Å): bilateral series approximation.

        Gaussian l has the width σ_l = b^l σ_0 in real space, l = 0, 1, ...; σ_0 follows from the cutoff, where
        the series starts to follow the power law (r_c/σ_0 = 1.98925... for 1/r and base 2).

        With `exponents` there is one channel for each, in place of `exponent` and `n_channels`. At the cutoff they all
        start from `amplitude` (eV·Å) over the cutoff, the value of 1/r, so that none starts too weak to learn.
        """
        powers = [exponent] * n_channels if exponents is None else list(exponents)
        if not powers or min(powers) <= 0 or cutoff <= 0 or base <= 1 or n_gaussians < 1:
            raise ValueError(
                "a power law needs exponents > 0, cutoff > 0, base > 1, n_gaussians >= 1 and a channel, got exponents="
                f"{powers}, cutoff={cutoff}, base={base}, n_gaussians={n_gaussians}"
            )
        amplitudes = [amplitude if exponents is None else amplitude * cutoff ** (p - 1) for p in powers]
        widths = [cutoff / _power_law_onset(p, base) * float(base) ** np.arange(n_gaussians) for p in powers]
        weights = [
            a * 2 * math.log(base) / math.gamma(p / 2) * (2 * w**2) ** (-p / 2) * (2 * math.pi * w**2) ** 1.5
            for a, p, w in zip(amplitudes, powers, widths, strict=True)
        ]
        return cls(np.stack(weights), math.sqrt(2) / np.stack(widths), trainable=trainable)

    @classmethod
    def log_spaced(
        cls,
        s_min: float,
        s_max: float,
        n_gaussians: int = 12,
        n_channels: int = 1,
        weight: float = COULOMB_CONSTANT,
        trainable: bool = True,
    ) -> "SumOfGaussians":
        """Start from equal weights (eV·Å³) and bandwidths s_l = s_min (s_max/s_min)^(l/M), l = 1..M, in 1/Å."""
        if not 0 < s_min < s_max or n_gaussians < 1:
            raise ValueError(f"log_spaced needs 0 < s_min < s_max and n_gaussians >= 1, got {s_min}, {s_max}")
        bandwidths = s_min * (s_max / s_min) ** (np.arange(1, n_gaussians + 1) / n_gaussians)
        weights = np.full(n_gaussians, weight)
        return cls(np.tile(weights, (n_channels, 1)), np.tile(bandwidths, (n_channels, 1)), trainable=trainable)

    @property
    def n_channels(self) -> int:
        return self.start_weights.shape[0]

    @property
    def n_gaussians(self) -> int:
        return self.start_weights.shape[1]

    @property
    def weights(self) -> Tensor:
        """Weights w, (n_channels, n_gaussians), eV·Å³ per squared latent."""
        return self.start_weights.to(self.relative_weights.dtype) * self.relative_weights

    @property
    def bandwidths(self) -> Tensor:
        """Bandwidths s, (n_channels, n_gaussians), 1/Å, within (0, max_bandwidth]."""
        logits = self.start_logits.to(self.bandwidth_shift.dtype) + self.bandwidth_shift
        return self.max_bandwidth * torch.sigmoid(logits)

    def multiplier(self, k_squared: Tensor) -> Tensor:
        """ĝ(k) at squared wave numbers k², 1/Å²: (...,) -> (n_channels, ...)."""
        return _sum_of_gaussians(self.weights, self.bandwidths.square().reciprocal(), k_squared)

    def at_squared_distance(self, distance_squared: Tensor) -> Tensor:
        """g(r) at squared distances r², Å²: (...,) -> (n_channels, ...); smooth in the positions at r = 0."""
        bandwidths = self.bandwidths
        amplitudes = self.weights * (bandwidths / (2 * math.sqrt(math.pi))) ** 3
        return _sum_of_gaussians(amplitudes, bandwidths.square() / 4, distance_squared)

    def forward(self, distance: Tensor) -> Tensor:
        """g(r) at distances r, Å: (...,) -> (n_channels, ...), eV per squared latent."""
        return self.at_squared_distance(distance.square())

    def k_cut(self, tolerance: float) -> float:
        """Wave number (1/Å) beyond which every Gaussian is below `tolerance` times its maximum, now and after
        any training: s_max √(ln 1/ε).
        """
        if not 0 < tolerance < 1:
            raise ValueError(f"tolerance must lie between 0 and 1, got {tolerance}")
        return self.max_bandwidth * math.sqrt(-math.log(tolerance))

    def gaussians(self, k_squared: Tensor) -> Tensor:
        """exp(−k²/s²) of each Gaussian at squared wave numbers k², 1/Å²: (...,) -> (n_channels, n_gaussians, ...)."""
        found = _gaussians(self.bandwidths.square().reciprocal(), k_squared.reshape(-1))
        return found.unflatten(2, k_squared.shape)

    def change(self) -> Tensor:
        """Mean squared change of the trained parameters since the start, a dimensionless scalar."""
        return ((self.relative_weights - 1).square() + self.bandwidth_shift.square()).mean()

    def truncation_error(self, k_cut: float) -> Tensor:
        """What a sum over |k| <= k_cut leaves out of g(0) at the present parameters: Σ_l |a_l| erfc-tail over
        Σ_l |a_l|, (n_channels,), an upper bound on the relative error of g at any distance in an infinite cell.
        """
        with torch.no_grad():
            x = k_cut / self.bandwidths
            tail = torch.erfc(x) + 2 / math.sqrt(math.pi) * x * torch.exp(-x.square())
            amplitudes = (self.weights * self.bandwidths**3).abs()
            return (amplitudes * tail).sum(1) / amplitudes.sum(1)

    def extra_repr(self) -> str:
        return f"n_channels={self.n_channels}, n_gaussians={self.n_gaussians}, max_bandwidth={self.max_bandwidth:.4g}"


def _sum_of_gaussians(amplitudes: Tensor, decays: Tensor, x: Tensor) -> Tensor:
    """Σ_l a_lp exp(−c_lp x) for (n_channels, n_gaussians) a and c: (...,) -> (n_channels, ...)."""
    gaussians = _gaussians(decays, x.reshape(-1))  # (n_channels, n_gaussians, n)
    return torch.bmm(amplitudes.to(x.dtype)[:, None], gaussians).reshape(len(amplitudes), *x.shape)


def _gaussians(decays: Tensor, x: Tensor) -> Tensor:
    """exp(−c_lp x) for (n_channels, n_gaussians) c: (n,) -> (n_channels, n_gaussians, n)."""
    floor = 0.8 * math.log(torch.finfo(x.dtype).tiny)  # denormals are seven times slower on a CPU, also in products
    return torch.exp((-decays.to(x.dtype)[:, :, None] * x).clamp(min=floor))


@lru_cache(maxsize=32)
def _power_law_onset(exponent: float, base: float) -> float:
    """r_c/σ_0 at which the one-sided series starts to follow r^(−p).

    The narrowest Gaussian may be rescaled so that value and slope of the series and of r^(−p) agree at r_c; the
    first distance at which that is possible is the onset. It is 1.9892536839080267 for p = 1 and b = 2.
    """
    factor = 2 * math.log(base) / math.gamma(exponent / 2)
    widths = float(base) ** np.arange(1, math.ceil(40 / math.log(base)) + 1)
    amplitudes = factor * (2 * widths**2) ** (-exponent / 2)

    def mismatch(x: float) -> float:
        gaussians = amplitudes * np.exp(-(x**2) / (2 * widths**2))
        value = x**-exponent - gaussians.sum()
        slope = -exponent * x ** (-exponent - 1) + (gaussians * x / widths**2).sum()
        return float(slope + x * value)

    grid = np.linspace(0.2, 40.0, 4000)
    values = np.array([mismatch(x) for x in grid])
    first = int(np.flatnonzero((values[:-1] < 0) != (values[1:] < 0))[0])
    return float(brentq(mismatch, grid[first], grid[first + 1], xtol=1e-15, rtol=1e-15))
