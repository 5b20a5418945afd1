"""Non-uniform FFTs between points and the half space of modes, differentiable to every order.

The two transforms are each other's adjoint for real values:

    to_modes:  S[c, m] = Σ_j v[c, j] exp(−i m·x_j)              (NUFFT of type 1)
    to_points: u[c, j] = Re Σ_m S[c, m] exp(+i m·x_j)           (NUFFT of type 2)

so each one's derivative with respect to values or modes is the other, and with respect to the points it is
`to_points` of modes multiplied by i·m. Autograd sees only these two functions, built from each other's `apply`.
The backward that pytorch_finufft brings calls FINUFFT on detached arrays, which silently drops second derivatives.

Two real channels travel as real and imaginary part of one complex transform.
[FINUFFT] Barnett, Magland, af Klinteberg, SIAM J. Sci. Comput. 41, C479 (2019).
"""

from typing import Any

import torch
from pytorch_finufft.functional import finufft_type1, finufft_type2
from torch import Tensor

from sognet.extras import require
from sognet.long_range.reciprocal_grid import Bounds, half_space_modes

MANY_POINTS = 100_000
"""From here on one transform is worth several threads; below, the OpenMP runtimes of torch and FINUFFT spin
against each other and a transform becomes slower with every thread."""


def to_modes(points: Tensor, values: Tensor, bounds: Bounds, accuracy: float) -> Tensor:
    """Type 1: points (3,N) in [−π, π], real values (C,N) -> complex modes (C, M_1+1, 2M_2+1, 2M_3+1)."""
    return _ToModes.apply(points, values, bounds, accuracy)


def to_points(points: Tensor, modes: Tensor, accuracy: float) -> Tensor:
    """Type 2: points (3,N) in [−π, π], complex modes (C, M_1+1, 2M_2+1, 2M_3+1) -> real values (C,N)."""
    return _ToPoints.apply(points, modes, accuracy)


class _ToModes(torch.autograd.Function):
    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Bounds, float], output: Tensor) -> None:
        points, values, _, accuracy = inputs
        ctx.save_for_backward(points, values)
        ctx.accuracy = accuracy

    @staticmethod
    def forward(points: Tensor, values: Tensor, bounds: Bounds, accuracy: float) -> Tensor:
        points, values = points.contiguous(), values.contiguous()
        pairs = _pack(values)
        shape = tuple(2 * b + 1 for b in bounds)
        full = finufft_type1(points, pairs, shape, isign=-1, **_options(points, len(pairs), accuracy))
        half = full[:, bounds[0] :]
        if len(values) == 1:
            return half.contiguous()
        mirrored = full.flip(1, 2, 3)[:, bounds[0] :].conj()
        even, odd = (half + mirrored) / 2, (half - mirrored) / 2j
        return torch.stack([even, odd], 1).flatten(0, 1)[: len(values)]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        points, values = ctx.saved_tensors
        return *_gradients(points, values, grad, ctx.accuracy, ctx.needs_input_grad[:2]), None, None


class _ToPoints(torch.autograd.Function):
    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, float], output: Tensor) -> None:
        points, modes, accuracy = inputs
        ctx.save_for_backward(points, modes)
        ctx.accuracy = accuracy

    @staticmethod
    def forward(points: Tensor, modes: Tensor, accuracy: float) -> Tensor:
        points, full = points.contiguous(), _hermitian(modes).contiguous()
        pairs = finufft_type2(points, full, isign=1, **_options(points, len(full), accuracy))
        return torch.view_as_real(pairs).mT.flatten(0, 1)[: len(modes)]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        points, modes = ctx.saved_tensors
        grad_points = grad_modes = None
        if ctx.needs_input_grad[0]:
            grad_points, _ = _gradients(points, grad, modes, ctx.accuracy, (True, False))
        if ctx.needs_input_grad[1]:
            grad_modes = to_modes(points, grad, _bounds(modes), ctx.accuracy)
        return grad_points, grad_modes, None


def _gradients(
    points: Tensor, values: Tensor, modes: Tensor, accuracy: float, needed: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Derivatives of Re Σ_cj v[c,j] Σ_m S[c,m] exp(i m·x_j) by points (3,N) and by values (C,N)."""
    stack = []
    if needed[0]:
        ramps, _ = half_space_modes(_bounds(modes), modes.device, points.dtype)
        ramps = ramps.T.reshape(1, 3, *modes.shape[1:])
        stack.append((1j * modes[:, None] * ramps).flatten(0, 1))
    if needed[1]:
        stack.append(modes)
    if not stack:
        return None, None
    at_points = to_points(points, torch.cat(stack), accuracy)
    grad_points = grad_values = None
    if needed[0]:
        slopes = at_points[: 3 * len(values)].unflatten(0, (-1, 3))  # (C, 3, N)
        grad_points = (values[:, None] * slopes).sum(0)
    if needed[1]:
        grad_values = at_points[-len(values) :]
    return grad_points, grad_values


def _bounds(modes: Tensor) -> Bounds:
    _, n1, n2, n3 = modes.shape
    return n1 - 1, n2 // 2, n3 // 2


def _pack(values: Tensor) -> Tensor:
    """Real channels (C,N) two by two as complex ones (⌈C/2⌉,N)."""
    if len(values) % 2:
        values = torch.cat([values, torch.zeros_like(values[:1])])
    return torch.complex(values[0::2], values[1::2])


def _hermitian(modes: Tensor) -> Tensor:
    """Full boxes (⌈C/2⌉, 2M_1+1, ...) whose type-2 transform has the real channels 2c and 2c+1 as its parts.

    Re Σ_half S e^{ix} = Σ_full H e^{ix} with the Hermitian H(m) = S(m)/2, H(−m) = S(m)*/2.
    """
    if len(modes) % 2:
        modes = torch.cat([modes, torch.zeros_like(modes[:1])])
    even, odd = modes[0::2] / 2, modes[1::2] * 0.5j
    half = even + odd
    mirrored = (even - odd).conj().flip(1, 2, 3)
    inner = half.shape[1] - 1
    full = half.new_empty(half.shape[0], 2 * inner + 1, *half.shape[2:])
    full[:, :inner] = mirrored[:, :inner]
    full[:, inner] = half[:, 0] + mirrored[:, inner]
    full[:, inner + 1 :] = half[:, 1:]
    return full


def _options(points: Tensor, n_transforms: int, accuracy: float) -> dict[str, float]:
    """Options of FINUFFT that reach the relative accuracy asked for at the least cost.

    An upsampling factor of 1.25 is the cheaper one but cannot go below an eps of 2e-5 in single precision or
    1e-9 in double; it errs by about a tenth of its eps (measured on forces), so it serves down to half of that.

    Raises
    ------
    InputError : the points are on a GPU and cufinufft is not installed.
    """
    single = points.dtype == torch.float32
    if points.device.type == "cuda":
        require("cufinufft", "cuda")
        return {"eps": max(accuracy, 1e-6 if single else 1e-14), "modeord": 0}
    finest = 2e-5 if single else 1e-9
    coarse = 2 * accuracy >= finest
    threads = torch.get_num_threads()
    if points.shape[1] < MANY_POINTS:
        threads = min(threads, 2 - n_transforms % 2)
    return {
        "eps": max(accuracy, finest if coarse else 1e-6 if single else 1e-14),
        "upsampfac": 1.25 if coarse else 2.0,
        "nthreads": threads,
        "modeord": 0,
    }
