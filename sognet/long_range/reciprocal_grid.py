"""The reciprocal lattice within a sphere: the integer modes m of a cell with |k| <= k_cut, and |k|² at them.

In directions in which structures are not periodic the modes are those of open_directions, and |k|² leaves them out.

Half of the modes suffice, since S(−k) = S(k)* for real latents. As in a real FFT they lie in the half box
0 <= m_1 <= M_1, |m_2| <= M_2, |m_3| <= M_3. One mode of each pair ±m counts twice, the other not at all.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sognet.long_range.open_directions import Axes, open_bound

Bounds = tuple[int, int, int]
"""(M_1, M_2, M_3): the largest mode number along each reciprocal vector."""


class ModesOf(NamedTuple):
    """What decides which modes count."""

    cells: bytes  # of (G,3,3) doubles
    bounds: Bounds
    k_cut: float
    include_zero_mode: bool
    axes: Axes = ()  # open ones
    n_window: int = 0  # modes of the window along these


@dataclass(frozen=True)
class ReciprocalGrid:
    """Modes of G cells that share one box of modes."""

    modes: Tensor  # (K, 3) integers
    multiplicity: Tensor  # (G, K): how often a mode counts, 0 beyond k_cut
    k_squared: Tensor  # (G, K), 1/Å², of the periodic directions
    inverse_cells: Tensor  # (G, 3, 3), 1/Å: fractional = positions @ inverse
    volumes: Tensor  # (G,), Å³


def mode_bounds(cells: np.ndarray, k_cut: float, is_open: np.ndarray, n_window: int) -> np.ndarray:
    """Largest mode numbers inside |k| <= k_cut, |m_i| <= k_cut |a_i|/2π: cells (B,3,3) in Å, k_cut in 1/Å -> (B,3).
    Along the open directions (B,3) there are those of the window as well.
    """
    lengths = np.sqrt(np.square(cells).sum(2))
    periodic = (k_cut / (2 * math.pi) * (1 + 1e-12) * lengths).astype(int)
    return np.where(is_open, open_bound(lengths, k_cut, n_window), periodic)


@lru_cache(maxsize=256)
def half_space_modes(bounds: Bounds, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Integer modes (K,3) of the half box and how often each counts (K,)."""
    with torch.inference_mode(False):
        m1, m2, m3 = (torch.arange(-b, b + 1, device=device, dtype=dtype) for b in bounds)
        modes = torch.cartesian_prod(m1[bounds[0] :], m2, m3).reshape(-1, 3)
        n_modes = len(modes)
        plane = len(m2) * len(m3)  # the modes with m_1 = 0, in the order −m, ..., 0, ..., +m
        multiplicity = torch.full((n_modes,), 2.0, device=device, dtype=dtype)
        multiplicity[: plane // 2] = 0.0
        multiplicity[plane // 2] = 1.0
        return modes, multiplicity


@lru_cache(maxsize=8)
def fixed_reciprocal_grid(of: ModesOf, only_inside: bool, like: tuple) -> ReciprocalGrid:
    """Grid of fixed cells; remembered, since the same few cells come again and again in
    simulation and in most training sets. `like`: device and dtype.

    Which modes count, |k| <= k_cut, is decided here, in double precision. With `only_inside` the modes that count in no
    cell are dropped, else the whole half box is kept. Of cells that are open along some axes all modes within an
    ellipse count, the mode zero as well.
    """
    device, dtype = like
    with torch.inference_mode(False), torch.no_grad():
        lattices = torch.frombuffer(bytearray(of.cells), dtype=torch.float64).reshape(-1, 3, 3)
        modes, multiplicity = half_space_modes(of.bounds, lattices.device, lattices.dtype)
        grid = grid_of(lattices, modes, multiplicity, of.axes)
        multiplicity = multiplicity * (grid.k_squared <= of.k_cut**2)
        for d in of.axes:
            largest = torch.from_numpy(open_bound(lattices[:, d].norm(dim=1).numpy(), of.k_cut, of.n_window))
            inside = grid.k_squared / of.k_cut**2 + (modes[:, d] / largest[:, None]).square() <= 1 + 1e-12
            multiplicity = multiplicity * inside
        if not (of.include_zero_mode or of.axes):
            multiplicity = multiplicity * (grid.k_squared > 0)
        k_squared = grid.k_squared
        if only_inside:
            kept = multiplicity.any(0)
            modes, multiplicity, k_squared = modes[kept], multiplicity[:, kept], k_squared[:, kept]
        found = ReciprocalGrid(modes, multiplicity, k_squared, grid.inverse_cells, grid.volumes)
        return ReciprocalGrid(*(x.to(device, dtype) for x in vars(found).values()))


def grid_of(cells: Tensor, modes: Tensor, multiplicity: Tensor, axes: Axes = ()) -> ReciprocalGrid:
    """Grid of cells (G,3,3) for given modes, differentiable in them: k = 2π m·(A⁻¹)ᵀ. Lattice vectors in rows; those
    along the open axes stand on the others.
    """
    inverse = torch.linalg.inv_ex(cells).inverse  # whose errors nobody waits for: cells have a volume
    integers = modes
    if axes:
        modes = modes.clone()
        modes[:, list(axes)] = 0
    k_squared = (2 * math.pi * modes @ inverse.mT).square().sum(-1)
    return ReciprocalGrid(integers, multiplicity, k_squared, inverse, volumes(cells))


def volumes(cells: Tensor) -> Tensor:
    """Volumes (G,) of cells (G,3,3) in Å³, as triple products.

    The backward of torch.linalg.det fails in single precision where the default is double.
    """
    return (cells[:, 0] * torch.linalg.cross(cells[:, 1], cells[:, 2])).sum(1).abs()
