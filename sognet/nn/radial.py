"""Radial functions: trainable Bessel functions under a polynomial cutoff ([CACE])."""

import math
from typing import Any

import torch
from torch import Tensor, nn


def polynomial_cutoff(distance: Tensor, cutoff: float, power: int = 6) -> Tensor:
    """1 − (p+1)(p+2)/2 x^p + p(p+2) x^(p+1) − p(p+1)/2 x^(p+2) with x = r/r_c, 0 beyond; p − 1 times differentiable
    at 0 and twice at r_c. Distances in Å, any shape.
    """
    x = (distance / cutoff).clamp(max=1.0)
    # a compiler would differentiate the function below only once
    return _polynomial(x, power) if torch.compiler.is_compiling() else _PolynomialCutoff.apply(x, power)


def _polynomial(x: Tensor, power: int) -> Tensor:
    """(1−x)³ Σ_i<p (i+1)(i+2)/2 x^i, the same polynomial without the cancellation near the cutoff."""
    series = torch.full_like(x, power * (power + 1) / 2)
    for i in reversed(range(power - 1)):
        series = series * x + (i + 1) * (i + 2) / 2
    return (1 - x) ** 3 * series


class _PolynomialCutoff(torch.autograd.Function):
    """The polynomial with its derivative in closed form."""

    @staticmethod
    def forward(x: Tensor, power: int) -> Tensor:
        return _polynomial(x, power)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        x, ctx.power = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        p = ctx.power
        return -p * (p + 1) * (p + 2) / 2 * grad * x ** (p - 1) * (1 - x).square(), None


class BesselFunctions(nn.Module):
    """√(2/r_c) sin(f_b r/r_c)/r with trainable f_b that start at bπ, under an envelope.

    Parameters
    ----------
    n_functions : number of functions.
    cutoff : r_c, Å.
    """

    def __init__(self, n_functions: int, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.frequencies = nn.Parameter(math.pi * torch.arange(1, n_functions + 1, dtype=torch.get_default_dtype()))

    def forward(self, distance: Tensor, envelope: Tensor) -> Tensor:
        """Distances (E,) in Å and the envelope at these (E,) -> (E, n_functions)."""
        amplitude = math.sqrt(2 / self.cutoff) * envelope / distance
        return amplitude[:, None] * torch.sin(distance[:, None] * (self.frequencies / self.cutoff))
