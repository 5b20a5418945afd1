"""Cardinal B-splines M_p: weights of the p mesh points around an atom, with their derivatives, and their transform.

[SPME] Essmann, Perera, Berkowitz, Darden, Lee, Pedersen, J. Chem. Phys. 103, 8577 (1995).
"""

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor


def start_and_offset(coordinates: Tensor, order: int) -> tuple[Tensor, Tensor]:
    """First of the p mesh points around coordinates u in mesh spacings, as integer, and t = first − u + p/2 in [0, 1).

    Mesh point `first + s` lies at t + s − p/2 from the atom, so that its weight is M_p(t + s).
    """
    shifted = coordinates - 0.5 * order
    first = shifted.detach().ceil()
    return first.long(), first - shifted


def weights(offset: Tensor, order: int, n_derivatives: int = 0) -> Tensor:
    """Derivatives d^i/du^i of the weights, i = 0..n_derivatives: offsets t (...,) -> (..., n_derivatives+1, order).

    The pieces of a spline are polynomials in t, so this is one product of its powers with a table.
    """
    centred = offset - 0.5
    powers = [torch.ones_like(centred), centred]
    for _ in range(order - 2):
        powers.append(powers[-1] * centred)
    if torch.compiler.is_compiling() and n_derivatives == 0:  # functions that remember are not traced
        table = torch.tensor(PIECES[order], device=offset.device, dtype=offset.dtype).T
    else:
        table = _table(order, n_derivatives, offset.device, offset.dtype)
    return (torch.stack(powers, -1) @ table).unflatten(-1, (n_derivatives + 1, order))


def transform(modes: np.ndarray, n_points: int, order: int) -> np.ndarray:
    """Fourier transform of M_p at integer modes of a mesh of n points: sinc^p(m/n)."""
    return np.sinc(modes / n_points) ** order


@lru_cache(maxsize=64)
def _table(order: int, n_derivatives: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Coefficients (order, (n_derivatives+1)·order) of the powers of t − 1/2."""
    with torch.inference_mode(False):
        derivatives = np.stack([_pieces(order, i) for i in range(n_derivatives + 1)])  # (i, s, power)
        return torch.from_numpy(derivatives.reshape(-1, order).T.copy()).to(device, dtype)


def _pieces(order: int, n_derivatives: int) -> np.ndarray:
    """Coefficients (order, order) of d^i/du^i M_p(t + s) for s = 0..p−1 by powers of t − 1/2, with du = −dt.

    M_p(x) = Σ_k (−1)^k C(p, k) (x − k)_+^(p−1) / (p−1)!

    Sums of integers: in floating point they cancel, and the weights would add up to one with errors of 1e-12.
    """
    degree = order - 1
    found = np.zeros((order, order))
    for s in range(order):
        for power in range(order):  # of (2(t − 1/2) + 2(s − k) + 1)^degree / 2^degree
            terms = ((-1) ** k * math.comb(order, k) * (2 * (s - k) + 1) ** (degree - power) for k in range(s + 1))
            whole = math.comb(degree, power) * 2**power * sum(terms)
            found[s, power] = whole / (2**degree * math.factorial(degree))
    for _ in range(n_derivatives):
        found = -np.pad(found[:, 1:] * np.arange(1, order), ((0, 0), (0, 1)))
    return found


PIECES = {order: _pieces(order, 0).tolist() for order in range(2, 13)}
"""The polynomials of each order as plain numbers."""
