"""Fourier modes of a periodic mesh that carries values spread with B-splines, and the way back, differentiable to every
order.

    to_modes:  S[c, m] = ŵ(m)^(−1) Σ_g ρ[c, g] exp(−2πi m·g/n),    ŵ(m) = Π_d sinc^p(m_d/n_d)

Its adjoint, Re Σ_m ŵ(m)^(−1) S[c, m] exp(+2πi m·g/n), is its derivative and the other way round. The axes of the mesh
are the lattice directions 2, 3 and 1, since a real FFT halves the last one and the modes have m_1 >= 0.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sognet.long_range import bspline
from sognet.long_range.mesh import Shape
from sognet.long_range.reciprocal_grid import ModesOf, fixed_reciprocal_grid

FREQUENCY_AXES = (2, 3, 4)


class MeshSize(NamedTuple):
    """Points along the lattice directions 2, 3 and 1, and order of the splines."""

    shape: Shape
    order: int


@dataclass(frozen=True)
class MeshModes:
    """Where the modes of a reciprocal grid are in the real FFT of a mesh (G,C,n_2,n_3,n_1), and how they are scaled."""

    shape: Shape
    order: int
    index: Tensor  # (K,), place in the flattened half spectrum
    scale: Tensor  # (K,): 1/ŵ
    adjoint_scale: Tensor  # (K,): the same, halved where m_1 > 0, since the inverse FFT adds the mode −m
    zero: bool  # whether the first mode is the mode zero


@lru_cache(maxsize=8)
def fixed_mesh_modes(size: MeshSize, of: ModesOf, like: tuple) -> MeshModes:
    """Those modes of the reciprocal grid of a sum that count."""
    device, dtype = like
    double = torch.device("cpu"), torch.float64
    modes = fixed_reciprocal_grid(of, True, double).modes.numpy()
    shape, order = size.shape, size.order
    m = np.roll(modes, -1, axis=1).astype(int)  # (K, 3): m_2, m_3, m_1
    index = (m[:, 0] % shape[0] * shape[1] + m[:, 1] % shape[1]) * (shape[2] // 2 + 1) + m[:, 2]
    scale = 1 / np.prod([bspline.transform(m[:, d], shape[d], order) for d in range(3)], axis=0)
    adjoint_scale = np.where(m[:, 2] > 0, 0.5, 1.0) * scale
    zero = bool(len(modes) and not modes[0].any())
    with torch.inference_mode(False):
        scales = (torch.from_numpy(x).to(device, dtype) for x in (scale, adjoint_scale))
        return MeshModes(shape, order, torch.from_numpy(index).to(device), *scales, zero)


def to_modes(mesh: Tensor, modes: MeshModes) -> Tensor:
    """Real mesh (G,C,n_2,n_3,n_1) -> complex modes (G,C,K)."""
    return _to_modes(mesh, modes) if torch.compiler.is_compiling() else _ToModes.apply(mesh, modes)


class _ToModes(torch.autograd.Function):
    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, MeshModes], output: Tensor) -> None:
        ctx.modes = inputs[1]

    @staticmethod
    def forward(mesh: Tensor, modes: MeshModes) -> Tensor:
        return _to_modes(mesh, modes)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _ToMesh.apply(grad, ctx.modes), None


class _ToMesh(torch.autograd.Function):
    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, MeshModes], output: Tensor) -> None:
        ctx.modes = inputs[1]

    @staticmethod
    def forward(structure: Tensor, modes: MeshModes) -> Tensor:
        return _to_mesh(structure, modes)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _ToModes.apply(grad, ctx.modes), None


def _to_modes(mesh: Tensor, modes: MeshModes) -> Tensor:
    spectrum = torch.fft.rfftn(mesh, dim=FREQUENCY_AXES).flatten(2)
    return spectrum.index_select(2, modes.index) * modes.scale


def _to_mesh(structure: Tensor, modes: MeshModes) -> Tensor:
    n_2, n_3, n_1 = modes.shape
    n_half = n_1 // 2 + 1
    spectrum = structure.new_zeros(*structure.shape[:2], n_2 * n_3 * n_half)
    spectrum.index_copy_(2, modes.index, structure * modes.adjoint_scale)
    spectrum = spectrum.unflatten(2, (n_2, n_3, n_half))
    # Only the last transform is one to real values: the modes with m_1 = 0 do not come in conjugate pairs.
    lines = torch.fft.ifftn(spectrum, dim=FREQUENCY_AXES[:2], norm="forward")
    return torch.fft.irfft(lines, n_1, dim=FREQUENCY_AXES[2], norm="forward")
