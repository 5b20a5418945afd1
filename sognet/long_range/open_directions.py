"""Structures that are periodic along some directions only: what takes the place of exp(−k²/s²) in an open direction.

A Gaussian is a product of one-dimensional ones, so each open direction stands for itself. Along it, positions repeat
with a period L of four times the largest distance D between atoms, and the Gaussian becomes the periodic function

    f(z) = b + (exp(−s²z²/4) − b) W(z),    b = exp(−s²D²/4),

with a smooth window W that is 1 for |z| <= D and falls to 0 at L/2. It equals the Gaussian at every distance that
occurs, so nothing of the repetition is felt, whatever the width, and no vacuum is needed. A Gaussian much wider than
the structure is nearly a constant, which stays in the mode zero and makes no force. The Fourier coefficients of f are
an FFT of its values, differentiable in s.

The window is one minus the integral of a Kaiser–Bessel bump, J. F. Kaiser, R. W. Schafer, IEEE Trans. Acoust. Speech
Signal Process. 28, 105 (1980).
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from scipy.special import i0e
from torch import Tensor

from sognet.long_range.multiplier import SumOfGaussians

PERIOD = 4.0
"""L/D."""

Axes = tuple[int, ...]


@dataclass(frozen=True)
class OpenDirections:
    """What the modes of structures (G) need that are open along the same directions.

    The multiplier is evaluated on a box: at K_p modes of the periodic directions, times the numbers |m| = 0..M of each
    open one.
    """

    axes: Axes
    helpers: Tensor  # (G, 3), of wires: what is not parallel to the periodic vector
    periods: Tensor  # (G, n_axes), Å
    periodic_modes: Tensor  # (K_p, 3), zero along the axes
    largest: tuple[int, ...]  # M along each axis
    place: Tensor  # (K,), of every mode in the flattened box
    window: Tensor  # (2M+3,): W at equally spaced points from 0 to half a period, for the largest M


def window_modes(tolerance: float) -> tuple[float, int]:
    """Shape β of the bump, and the number of modes after which the coefficients of W are below the tolerance."""
    shape = 5.0 - math.log(tolerance)
    return shape, math.ceil(1.33 * shape)


def open_bound(length: np.ndarray, k_cut: float, n_window: int) -> np.ndarray:
    """Largest mode along an open direction of period `length` in Å."""
    return np.ceil(np.hypot(k_cut * length / (2 * math.pi), n_window)).astype(int)


def periods_of(extents: np.ndarray) -> np.ndarray:
    """Periods in Å for distances between atoms up to the extents in Å, with room to move; steps of 10 %."""
    room = 1.05 * extents + 0.5
    return PERIOD * 1.1 ** np.ceil(np.log(room) / math.log(1.1) - 1e-9)


def stand_in_cells(cell: Tensor, axes: Axes, periods: Tensor, helpers: Tensor) -> Tensor:
    """Cells (G,3,3) whose open vectors, of the periods (G, n_axes) in Å, stand on the periodic ones and on each other.

    Differentiable in the periodic vectors; what `cell` has in open directions is not read.
    """
    rows = list(cell.unbind(1))
    if len(axes) == 1:
        (d,) = axes
        rows[d] = _unit(torch.linalg.cross(rows[(d + 1) % 3], rows[(d + 2) % 3]))
    elif len(axes) == 2:
        (along,) = {0, 1, 2} - set(axes)
        first = _unit(torch.linalg.cross(rows[along], helpers))
        rows[axes[0]], rows[axes[1]] = first, _unit(torch.linalg.cross(rows[along], first))
    else:
        rows = list(torch.eye(3, dtype=cell.dtype, device=cell.device).expand(len(cell), 3, 3).unbind(1))
    for i, d in enumerate(axes):
        rows[d] = rows[d] * periods[:, i, None]
    return torch.stack(rows, 1)


def helpers_of(cell: Tensor, axes: Axes) -> Tensor:
    """Of each wire a Cartesian unit vector (G,3) that stands best on its periodic vector; zeros for others."""
    if len(axes) != 2:
        return torch.zeros_like(cell[:, 0])
    (along,) = {0, 1, 2} - set(axes)
    return torch.nn.functional.one_hot(cell[:, along].abs().argmin(1), 3).to(cell.dtype)


def directions_of(
    axes: Axes, helpers: Tensor, periods: Tensor, modes: Tensor, tolerance: float, like: tuple
) -> OpenDirections:
    """For modes (K,3) of structures with these periods (G, n_axes); `like`: device and dtype."""
    device, dtype = like
    numbers = modes.long()
    ranges, place = [], torch.zeros(len(modes), dtype=torch.long, device=modes.device)
    for d in range(3):
        if d in axes:
            ranges.append(torch.zeros(1, dtype=torch.long))
            continue
        first, last = int(numbers[:, d].min()), int(numbers[:, d].max())
        ranges.append(torch.arange(first, last + 1))
        place = place * len(ranges[-1]) + numbers[:, d] - first
    largest = tuple(int(numbers[:, d].abs().max()) for d in axes)
    for d, most in zip(axes, largest, strict=True):
        place = place * (most + 1) + numbers[:, d].abs()
    tensors = helpers, periods, torch.cartesian_prod(*ranges)
    moved = (x.to(device, dtype) for x in tensors)
    return OpenDirections(axes, *moved, largest, place.to(device), window_values(max(largest), tolerance).to(device))


@lru_cache(maxsize=32)
def window_values(n_modes: int, tolerance: float) -> Tensor:
    """W (2M+3,) in double precision at z = L j/2J, j = 0..J, with J = 2M+2, so that what aliases to the modes 0..M is
    far beyond them.
    """
    j = np.arange(2 * n_modes + 3)
    with torch.inference_mode(False):
        return torch.from_numpy(_window(j / j[-1], window_modes(tolerance)[0]))


def multiplier(kernel: SumOfGaussians, inverse_cells: Tensor, directions: OpenDirections) -> Tensor:
    """Multipliers (P or 1, G, K) at the modes of cells whose inverses are (G,3,3) in 1/Å.

    In the box every Gaussian is a product, so their sum is a product of matrices over the Gaussians.
    """
    dtype = inverse_cells.dtype
    k_squared = (2 * math.pi * directions.periodic_modes @ inverse_cells.mT).square().sum(2)  # (G, K_p)
    factors = kernel.weights[..., None, None].to(dtype) * kernel.gaussians(k_squared)  # (P, L, G, K_p)
    along = [
        _coefficients(kernel.bandwidths.double(), directions.periods[:, i].double(), directions.window)
        .narrow(3, 0, most + 1)
        .to(dtype)
        for i, most in enumerate(directions.largest)
    ]
    for coefficients in along[:-1]:
        factors = (factors[..., None] * coefficients[..., None, :]).flatten(3)
    box = factors.permute(0, 2, 3, 1) @ along[-1].transpose(1, 2)  # (P, G, box but for the last axis, M+1)
    return box.flatten(2).index_select(2, directions.place)


def _coefficients(bandwidths: Tensor, periods: Tensor, window: Tensor) -> Tensor:
    """What takes the place of exp(−k²/s²) at the modes 0..M of periods (G,) in Å: (P, L) -> (P, L, G, M+1)."""
    n_half = len(window) - 1
    z = torch.linspace(0, 1, n_half + 1, dtype=window.dtype, device=window.device) * periods[:, None] / 2  # (G, J+1)
    exponents = bandwidths[:, :, None].square() / 4  # (P, L, 1)
    constant = torch.exp(-exponents * (periods / PERIOD).square())[..., None]  # (P, L, G, 1)
    values = (torch.exp(-exponents[..., None] * z.square()) - constant) * window  # (P, L, G, J+1)
    whole = torch.cat([values, values[..., 1:-1].flip(3)], 3)  # f is even
    coefficients = torch.fft.rfft(whole, norm="forward").real[..., : n_half // 2]
    coefficients = torch.cat([coefficients[..., :1] + constant, coefficients[..., 1:]], 3)
    return bandwidths[:, :, None, None] * periods[:, None] / (2 * math.sqrt(math.pi)) * coefficients


def _window(x: np.ndarray, shape: float) -> np.ndarray:
    """W at z = x L/2: 1 up to x = 2/PERIOD, 0 at x = 1."""
    nodes, weights = np.polynomial.legendre.leggauss(80)
    t = np.clip((x - 2 / PERIOD) / (1 - 2 / PERIOD), 0, 1)

    def integral(upper: np.ndarray) -> np.ndarray:
        u = upper[:, None] / 2 * (nodes + 1)
        argument = shape * np.sqrt(np.clip(1 - (2 * u - 1) ** 2, 0, None))
        return (upper[:, None] / 2 * weights * i0e(argument) * np.exp(argument - shape)).sum(1)

    return 1 - integral(t) / integral(np.ones(1))


def _unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.square().sum(1, keepdim=True).sqrt()
