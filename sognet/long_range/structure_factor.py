"""Structure factors S_p(m) = Σ_j q_jp exp(−2πi m·f_j) of fractional coordinates f, four ways to the same sum.

Each function takes latents (B,n,P) and fractional coordinates (B,n,3), where structures are padded with atoms of
zero latent, and returns the real and the imaginary part of S, each (B,P,K).
"""

import math
from typing import Any

import torch
from torch import Tensor

from sognet.long_range import mesh_modes
from sognet.long_range.mesh import spread
from sognet.long_range.nufft import to_modes
from sognet.long_range.reciprocal_grid import Bounds


def direct(latent: Tensor, fractional: Tensor, modes: Tensor) -> tuple[Tensor, Tensor]:
    """The plain sum over atoms for every one of the modes (K,3)."""
    cosine, sine = cosine_and_sine(fractional @ (-2 * math.pi * modes).T)  # (B, n, K)
    latent = latent.mT  # (B, P, n)
    return latent @ cosine, latent @ sine


def separable(latent: Tensor, fractional: Tensor, bounds: Bounds) -> tuple[Tensor, Tensor]:
    """exp(−ik·r) is a product of three one-dimensional factors, so S on the half box is a matrix product over atoms."""
    e1, left_or_right, right = (_factors(fractional[..., d], bounds[d], half=d == 0) for d in range(3))
    left = latent[..., None] * e1[:, :, None]  # (B, n, P, M_1+1)
    n_1, n_2, n_3 = left[0, 0].numel(), left_or_right.shape[2], right.shape[2]
    if n_1 * n_2 + n_3 < n_1 + n_2 * n_3:  # the second factor goes to the side where it makes less
        left = left[..., None] * left_or_right[:, :, None, None]
    else:
        right = (left_or_right[..., None] * right[:, :, None]).flatten(2)
    structure = torch.bmm(left.flatten(2).mT, right).reshape(latent.shape[0], latent.shape[2], -1)
    return structure.real, structure.imag


def nufft(latent: Tensor, fractional: Tensor, bounds: Bounds, accuracy: float) -> tuple[Tensor, Tensor]:
    """Non-uniform FFT on the half box; one transform per structure, since each has its own points.

    The mode zero is the sum of the latents, which of a net charge is by far the largest.
    """
    points = ((2 * math.pi) * fractional.mT).contiguous()
    modes = [to_modes(x, q, bounds, accuracy) for x, q in zip(points, latent.mT, strict=True)]
    structure = torch.stack(modes).flatten(2)
    zero = bounds[1] * (2 * bounds[2] + 1) + bounds[2]
    real = [structure.real[..., :zero], latent.sum(1)[..., None], structure.real[..., zero + 1 :]]
    return torch.cat(real, 2), structure.imag


def mesh(latent: Tensor, fractional: Tensor, modes: mesh_modes.MeshModes) -> tuple[Tensor, Tensor]:
    """Fast Fourier transform of a mesh onto which the latents are spread; the modes are those of the plan."""
    f_1, f_2, f_3 = fractional.unbind(2)
    points = torch.stack([f * n for f, n in zip((f_2, f_3, f_1), modes.shape, strict=True)], 2)
    structure = mesh_modes.to_modes(spread(points, latent, modes.shape, modes.order), modes)
    real = structure.real
    if modes.zero:  # the mode zero is by far the largest of a net charge and makes no force
        real = torch.cat([latent.sum(1)[..., None], real[..., 1:]], 2)
    return real, structure.imag


def _factors(fractional: Tensor, bound: int, half: bool) -> Tensor:
    """exp(−2πi m f) for m = 0..M (half) or −M..M: (B,n) -> (B,n,M+1) or (B,n,2M+1)."""
    m = torch.arange(0 if half else -bound, bound + 1, device=fractional.device, dtype=fractional.dtype)
    return torch.complex(*cosine_and_sine(fractional[..., None] * (-2 * math.pi * m)))


def cosine_and_sine(phase: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine of a phase, which no derivative evaluates again; a compiler sees to that by itself."""
    return (phase.cos(), phase.sin()) if torch.compiler.is_compiling() else _CosSin.apply(phase)


class _CosSin(torch.autograd.Function):
    """Cosine and sine of a phase, each of which is the other's derivative."""

    generate_vmap_rule = True

    @staticmethod
    def forward(phase: Tensor) -> tuple[Tensor, Tensor]:
        return phase.cos(), phase.sin()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*output)

    @staticmethod
    def backward(ctx: Any, grad_cosine: Tensor, grad_sine: Tensor) -> Tensor:
        cosine, sine = ctx.saved_tensors
        return grad_sine * cosine - grad_cosine * sine
