"""Spreading of values at points onto a periodic mesh with B-splines, and interpolation from it, differentiable to every
order.

Both work on the derivatives of the spline up to an order D, α = (α_1, α_2, α_3) with |α| <= D:

    spread:       ρ[c, g] = Σ_j Σ_α v[j, α, c] ∂^α W(u_j − g)
    interpolate:  v[j, α, c] = Σ_g ρ[c, g] ∂^α W(u_j − g)

They are each other's adjoint, so each one's derivative with respect to values or mesh is the other, and with respect
to the points it is `interpolate` of order D + 1. Autograd sees only these two functions, built from each other's
`apply`; a compiler sees the plain tensor operations.

W is the product of three B-splines [SPME] Essmann et al., J. Chem. Phys. 103, 8577 (1995).
"""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sognet.long_range import bspline

Shape = tuple[int, int, int]

CHUNK = {"cpu": 1 << 19, "cuda": 1 << 26}
"""Weights times channels that are worked on at once: what fits the caches of a CPU, or bounds the memory."""


def spread(points: Tensor, values: Tensor, shape: Shape, order: int) -> Tensor:
    """Mesh (G,C,n_1,n_2,n_3) of values (G,n,C) at points (G,n,3) in mesh spacings, any image; every n_i >= order."""
    values = values[:, :, None]
    if torch.compiler.is_compiling():
        return _spread(points, values, shape, order)
    return _Spread.apply(points, values, shape, order)


class _Spread(torch.autograd.Function):
    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Shape, int], output: Tensor) -> None:
        points, values, _, ctx.order = inputs
        ctx.save_for_backward(points, values)

    @staticmethod
    def forward(points: Tensor, values: Tensor, shape: Shape, order: int) -> Tensor:
        return _spread(points, values, shape, order)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        points, values = ctx.saved_tensors
        degree = _degree(values)
        found = _Interpolate.apply(points, grad, ctx.order, degree + int(ctx.needs_input_grad[0]))
        grad_points = _contracted(values, found, degree) if ctx.needs_input_grad[0] else None
        grad_values = found[:, :, _lower(degree)] if ctx.needs_input_grad[0] else found
        return grad_points, grad_values if ctx.needs_input_grad[1] else None, None, None


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int, int], output: Tensor) -> None:
        points, mesh, ctx.order, ctx.degree = inputs
        ctx.save_for_backward(points, mesh)

    @staticmethod
    def forward(points: Tensor, mesh: Tensor, order: int, degree: int) -> Tensor:
        return _interpolate(points, mesh, order, degree)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        points, mesh = ctx.saved_tensors
        grad_points = grad_mesh = None
        if ctx.needs_input_grad[0]:
            found = _Interpolate.apply(points, mesh, ctx.order, ctx.degree + 1)
            grad_points = _contracted(grad, found, ctx.degree)
        if ctx.needs_input_grad[1]:
            grad_mesh = _Spread.apply(points, grad, tuple(mesh.shape[2:]), ctx.order)
        return grad_points, grad_mesh, None, None


def _spread(points: Tensor, values: Tensor, shape: Shape, order: int) -> Tensor:
    n_structures, _, n_terms, n_channels = values.shape
    degree = _degree(values)
    n_last = shape[2] + order - 1  # the points of the last direction are repeated, so that no run of p of them wraps
    pairs = n_channels % 2 == 0 and not torch.compiler.is_compiling()
    width = n_channels // 2 if pairs else n_channels  # two channels are added as one complex number, in half the time
    mesh = values.new_zeros(n_structures * shape[0] * shape[1] * n_last * n_channels)
    added_to = torch.view_as_complex(mesh.view(-1, 2)) if pairs else mesh
    within_row = torch.arange(order * width, device=points.device)
    flat = values.reshape(-1, n_terms, n_channels)
    for part in _chunks(points, order, n_channels):
        rows, plane, line = _stencils(points, part, shape, order, degree)
        terms = flat[part]
        runs = terms[:, BY_LAST[degree][0], None] * line[:, 0, None, :, None]  # (n, plane terms, p, C)
        for i, members in enumerate(BY_LAST[degree][1:], 1):
            runs[:, : len(members)] += terms[:, members, None] * line[:, i, None, :, None]
        runs = runs.flatten(2)  # (n, plane terms, p·C)
        added = plane.mT * runs if degree == 0 else torch.bmm(plane.mT, runs)  # (n, p², p·C)
        if pairs:
            added = torch.view_as_complex(added.view(-1, 2))
        index = rows[:, :, None] * width + within_row
        added_to.scatter_add_(0, index.flatten(), added.flatten())
    mesh = mesh.view(n_structures, shape[0], shape[1], n_last, n_channels)
    mesh[..., : order - 1, :] += mesh[..., shape[2] :, :]
    return mesh[..., : shape[2], :].permute(0, 4, 1, 2, 3).contiguous()


def _interpolate(points: Tensor, mesh: Tensor, order: int, degree: int) -> Tensor:
    n_structures, n_channels, *shape = mesh.shape
    padded = torch.cat([mesh, mesh[..., : order - 1]], 4).permute(0, 2, 3, 4, 1).contiguous()
    n_rows = padded.numel() // n_channels - order + 1
    runs_of = padded.as_strided((n_rows, order * n_channels), (n_channels, 1))
    found = []
    for part in _chunks(points, order, n_channels):
        rows, plane, line = _stencils(points, part, tuple(shape), order, degree)
        runs = runs_of.index_select(0, rows.flatten()).view(len(rows), order**2, -1)
        runs = torch.bmm(plane, runs).unflatten(2, (order, n_channels))  # (n, plane terms, p, C)
        terms = [
            (runs[:, : len(members)] * line[:, i, None, :, None]).sum(2) for i, members in enumerate(BY_LAST[degree])
        ]
        found.append(torch.cat(terms, 1))
    found = torch.cat(found) if len(found) > 1 else found[0]
    if degree > 1:
        found = found.index_select(1, _index(SORTED_FROM_BY_LAST[degree], points.device))
    return found.view(n_structures, -1, *found.shape[1:])


def _stencils(points: Tensor, part: slice, shape: Shape, order: int, degree: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of some atoms: the first mesh point of each run (n, p²), the weights of the plane with derivatives
    (n, plane terms, p²), and those of the run (n, degree + 1, p).
    """
    n_atoms = points.shape[1]
    flat = points.reshape(-1, 3)[part]
    first, offset = bspline.start_and_offset(flat, order)
    weights = bspline.weights(offset, order, degree)  # (n, 3, D+1, p)
    steps = torch.arange(order, device=points.device)
    one, two = ((first[:, d, None] + steps) % shape[d] for d in range(2))
    if points.shape[0] > 1:
        structure = torch.arange(part.start, part.stop, device=points.device) // n_atoms
        one = one + structure[:, None] * shape[0]
    n_last = shape[2] + order - 1
    rows = (one[:, :, None] * shape[1] + two[:, None, :]) * n_last + (first[:, 2] % shape[2])[:, None, None]
    plane = torch.stack(
        [(weights[:, 0, a, :, None] * weights[:, 1, b, None, :]).flatten(1) for a, b in PLANE_TERMS[degree]], 1
    )
    return rows.flatten(1), plane, weights[:, 2]


def _chunks(points: Tensor, order: int, n_channels: int) -> list[slice]:
    n = points.shape[0] * points.shape[1]
    if torch.compiler.is_compiling():
        return [slice(0, n)]
    size = max(1, CHUNK.get(points.device.type, 1 << 26) // (order**3 * n_channels))
    return [slice(i, min(i + size, n)) for i in range(0, n, size)]


def _contracted(values: Tensor, found: Tensor, degree: int) -> Tensor:
    """Σ_α,c v[α,c] ∂_i ∂^α of what was interpolated to one degree more: (G,n,3)."""
    raised = _index(RAISED[degree], values.device)  # (3, terms)
    slopes = found[:, :, 1:4, None] if degree == 0 else found[:, :, raised]  # (G, n, 3, terms, C)
    return (slopes * values[:, :, None]).sum((3, 4))


def _index(table: tuple, device: torch.device) -> Tensor:
    """A table as a tensor, which a compiler keeps by itself."""
    return torch.tensor(table, device=device) if torch.compiler.is_compiling() else _remembered(table, device)


@lru_cache(maxsize=64)
def _remembered(table: tuple, device: torch.device) -> Tensor:
    """The same; every copy to a GPU would wait for it."""
    with torch.inference_mode(False):
        return torch.from_numpy(np.array(table)).to(device)


def _lower(degree: int) -> slice:
    return slice(0, len(_terms(degree)))


def _degree(values: Tensor) -> int:
    return {1: 0, 4: 1, 10: 2, 20: 3, 35: 4}[values.shape[2]]


def _terms(degree: int) -> list[Shape]:
    """The derivatives α with |α| <= degree, by |α|."""
    found = [(a, b, c) for a in range(degree + 1) for b in range(degree + 1) for c in range(degree + 1)]
    return sorted((x for x in found if sum(x) <= degree), key=lambda x: (sum(x), x[2], x[1]))


def _plane_terms(degree: int) -> list[tuple[int, int]]:
    return [(a, b) for a, b, c in _terms(degree) if c == 0]


def _by_last(degree: int) -> list[list[int]]:
    """For each derivative along the last direction, the terms with it."""
    terms = _terms(degree)
    return [[terms.index((a, b, i)) for a, b in _plane_terms(degree - i)] for i in range(degree + 1)]


def _sorted_from_by_last(degree: int) -> tuple[int, ...]:
    flat = [i for members in _by_last(degree) for i in members]
    return tuple(flat.index(i) for i in range(len(flat)))


def _raised(degree: int) -> tuple[tuple[int, ...], ...]:
    above, terms = _terms(degree + 1), _terms(degree)
    return tuple(tuple(above.index(tuple(a + (i == d) for i, a in enumerate(x))) for x in terms) for d in range(3))


DEGREES = range(5)
"""Of derivatives; a compiler reads tables of them, but would trace functions that remember what they gave."""

PLANE_TERMS = [_plane_terms(degree) for degree in DEGREES]
BY_LAST = [_by_last(degree) for degree in DEGREES]
SORTED_FROM_BY_LAST = [_sorted_from_by_last(degree) for degree in DEGREES]
RAISED = [_raised(degree) for degree in DEGREES]
