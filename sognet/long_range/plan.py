"""How the structures of a batch are grouped and summed: decided once, from cells, counts and periodicity, in double
precision. What is left for every step is tensors.
"""

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from sognet.long_range.grouping import Group, Plan
from sognet.long_range.mesh_modes import MeshSize, fixed_mesh_modes
from sognet.long_range.mesh_size import choose_mesh
from sognet.long_range.open_directions import (
    Axes,
    directions_of,
    helpers_of,
    periods_of,
    stand_in_cells,
    window_modes,
)
from sognet.long_range.reciprocal_grid import Bounds, ModesOf, fixed_reciprocal_grid, mode_bounds

DIRECT_BELOW = 1.5e5
"""Atoms × half-box modes of a structure below which the plain sum is the fastest (two CPU cores), times √P (one core):
sines and cosines are the same for all channels, the products of factors are not."""

DIRECT_BATCH_BELOW = 1.0e6
"""The same, summed over all structures of a batch, whose matrix products of factors then pay off together."""

NUFFT_FROM = {"cpu": 5.0e6, "cuda": 4.0e10}
"""Atoms × half-box modes of a structure from which the NUFFT is the cheapest way to the structure factor.
CPU: measured on two cores by experiments/benchmarks/long_range.py. CUDA: estimated from the tens of milliseconds
that a cuFINUFFT plan costs and the rate of complex matrix products; not measured yet."""

SIMILAR_COST = 4.0
"""Structures whose atoms × modes differ by less than this factor are padded to one batch of matrix products."""

PAIRS_BELOW = 2_500
"""Atoms of a structure without periodicity up to which all pairs are summed, times √P: the kernel of a pair is the same
for all channels. Forces and training step in s, one core, 12 Gaussians, 1e-5, modes against pairs: P 1, 2 000 atoms
1.1/4.9 against 1.1/2.8, 4 000 1.7/7.3 against 5.7/13; P 4, 2 000 atoms 3.9/22 against 0.9/2.8.
With kernels of pairs of species over their number: training steps of two and four species cross at about 850 and 550
atoms."""

PAIRS_TOGETHER = 1_000_000
"""Pairs with padding, up to which structures without periodicity are summed in one go whatever their sizes."""


def make_plan(
    cell: Tensor,
    pbc: Tensor | None,
    batch: Tensor | None,
    n_atoms: int,
    k_cut: float,
    include_zero_mode: bool,
    method: str,
    n_latent: int,
    dtype: torch.dtype,
    accuracy: tuple[float, float],
    fixed_cells: bool = False,
    device: str | None = None,
    positions: Tensor | None = None,
    n_kernels: int = 1,
) -> Plan:
    """Plan for structures with cells (B,3,3) in Å and the periodicity (B,3) of each, atoms (N,) in them, and their
    positions (N,3) in Å where a direction is open. The accuracy is the tolerance and the wave number beyond which the
    multiplier is below that; n_kernels how many a pair of atoms is summed with.

    Raises
    ------
    ValueError : a periodic cell without volume; positions are missing.
    """
    here, n_structures = cell.device, len(cell)
    counts = _atoms_per_structure(batch, n_atoms, n_structures)
    periodic = _periodicity(pbc, n_structures)
    tolerance = accuracy[0]
    lattice = cell.detach().cpu().double()
    by_fourier = counts > 0
    if not periodic.all():
        by_fourier &= periodic.any(1) | (counts > PAIRS_BELOW * math.sqrt(n_latent) / n_kernels)
        if (by_fourier & ~periodic.all(1)).any():
            lattice = _stand_in_lattices(lattice, periodic, by_fourier, batch, positions)
    groups = _grouped(
        *(lattice.numpy().tobytes(), counts.tobytes(), periodic.tobytes(), by_fourier.tobytes()),
        *(k_cut, method, device or here.type, n_latent, accuracy),
    )
    order = None if batch is None or n_structures == 1 else torch.argsort(batch, stable=True)
    made = []
    for chosen, structures, bounds, lattices, size, axes in groups:
        grid = mesh = directions = None
        if chosen != "pairs":
            like = here, dtype
            n_window = window_modes(tolerance)[1] if axes else 0
            only_inside = chosen in ("direct", "mesh")
            what = ModesOf(lattices, bounds, k_cut, include_zero_mode, axes, n_window)
            grid = fixed_reciprocal_grid(what, only_inside, like)
            if size is not None:
                mesh = fixed_mesh_modes(size, what, like)
            if axes:
                stand_in = torch.frombuffer(bytearray(lattices), dtype=torch.float64).reshape(-1, 3, 3)
                periods, helpers = stand_in[:, list(axes)].norm(dim=2), helpers_of(stand_in, axes)
                directions = directions_of(axes, helpers, periods, grid.modes, tolerance, like)
        if order is None:
            made.append(Group(chosen, bounds, grid, mesh=mesh, directions=directions))
            continue
        index, filled = _padded_index((np.cumsum(counts) - counts)[structures], counts[structures])
        mask = None if filled.all() else torch.from_numpy(filled).to(here, dtype)
        members = torch.tensor(structures, device=here)
        atoms = order[torch.from_numpy(index).to(here)]
        made.append(Group(chosen, bounds, grid, members, atoms, mask, mesh, directions))
    pbc = torch.ones(n_structures, 3, dtype=torch.bool, device=here) if pbc is None else pbc.reshape(-1, 3).bool()
    return Plan(tuple(made), n_atoms, cell.detach(), pbc, None if n_structures == 1 else batch, fixed_cells)


def _stand_in_lattices(
    lattice: Tensor, periodic: np.ndarray, by_fourier: np.ndarray, batch: Tensor | None, positions: Tensor | None
) -> Tensor:
    """The cells (B,3,3), of structures by Fourier sums with vectors in open directions as long as their extent asks.

    Raises
    ------
    ValueError : positions are missing or not finite, or periodic vectors span nothing.
    """
    if positions is None:
        raise ValueError("structures with open directions are planned for their extent; give `positions`")
    lattice, positions = lattice.clone(), positions.detach().cpu().double()
    of_atoms = torch.zeros(len(positions), dtype=torch.long) if batch is None else batch.cpu()
    for pattern in np.unique(periodic[by_fourier], axis=0):
        if pattern.all():
            continue
        axes = tuple(np.flatnonzero(~pattern).tolist())
        members = np.flatnonzero((periodic == pattern).all(1) & by_fourier)
        cells = lattice[members]
        helpers = helpers_of(cells, axes)
        units = stand_in_cells(cells, axes, torch.ones(len(members), len(axes), dtype=torch.float64), helpers)
        for i, volume in zip(members, torch.linalg.det(units).abs().tolist(), strict=True):
            if not volume > 1e-6:
                raise ValueError(f"structure {i} is periodic but its cell has no extent there: {lattice[i].tolist()}")
        extents = []
        for i, inverse in zip(members, torch.linalg.inv(units), strict=True):
            along = (positions[of_atoms == i] @ inverse)[:, list(axes)]
            extents.append((along.amax(0) - along.amin(0)).numpy())
            if not np.isfinite(extents[-1]).all():
                raise ValueError(f"structure {i} has positions that are not finite, and an open direction to sum over")
        periods = torch.from_numpy(periods_of(np.stack(extents)))
        lattice[members] = stand_in_cells(cells, axes, periods, helpers)
    return lattice


def _atoms_per_structure(batch: Tensor | None, n_atoms: int, n_structures: int) -> np.ndarray:
    if n_structures == 1:
        return np.array([n_atoms])
    return torch.bincount(batch, minlength=n_structures).cpu().numpy()


@lru_cache(maxsize=64)
def _grouped(
    cells: bytes,
    counts: bytes,
    periodicity: bytes,
    by_fourier: bytes,
    k_cut: float,
    method: str,
    device: str,
    n_latent: int,
    accuracy: tuple[float, float],
) -> list[tuple[str, list[int], Bounds, bytes, MeshSize | None, Axes]]:
    """Method, structures, bounds of modes, distinct cells, size of the mesh and open directions of each group.

    Structures of one method, periodicity and similar cost go together. Remembered, since the host's share of the work
    is what counts for small structures. Bytes of cells (B,3,3), counts (B,), periodicity (B,3), by_fourier (B,).
    """
    lattice = np.frombuffer(cells).reshape(-1, 3, 3)
    n_atoms = np.frombuffer(counts, dtype=np.int64)
    is_open = ~np.frombuffer(periodicity, dtype=bool).reshape(-1, 3)
    by_modes = np.frombuffer(by_fourier, dtype=bool)
    _check_volumes(lattice, by_modes)
    aperiodic = np.flatnonzero(~by_modes & (n_atoms > 0)).tolist()
    pairs = [("pairs", members, (0, 0, 0), b"", None, ()) for members in _of_similar_size(aperiodic, n_atoms)]
    bounds = mode_bounds(lattice, k_cut, is_open, window_modes(accuracy[0])[1])  # (B, 3)
    cost = n_atoms * (bounds[:, 0] + 1.0) * (2 * bounds[:, 1] + 1) * (2 * bounds[:, 2] + 1)
    groups: list[tuple[str, list[int], MeshSize | None, Axes]] = []
    for i in sorted(np.flatnonzero(by_modes & (n_atoms > 0)).tolist(), key=cost.__getitem__):
        chosen = _cheapest(cost[i], cost[by_modes].sum(), device, n_latent) if method == "auto" else method
        size = choose_mesh(lattice[i], bounds[i], *accuracy, is_open[i]) if chosen == "mesh" else None
        what = chosen, size, tuple(np.flatnonzero(is_open[i]).tolist())
        like = [g for g in groups if (g[0], *g[2:]) == what and cost[i] <= SIMILAR_COST * cost[g[1][0]]]
        if like and chosen != "nufft":
            like[-1][1].append(i)
        else:
            groups.append((chosen, [i], *what[1:]))
    return pairs + [(m, s, tuple(bounds[s].max(0).tolist()), _distinct(lattice[s]), *more) for m, s, *more in groups]


def _of_similar_size(structures: list[int], n_atoms: np.ndarray) -> list[list[int]]:
    """Structures that are padded to the largest of their group: of similar numbers of pairs, or few altogether."""
    groups: list[list[int]] = []
    for i in sorted(structures, key=n_atoms.__getitem__):
        n_pairs = int(n_atoms[i]) ** 2
        last = groups[-1] if groups else []
        if last and (n_pairs <= SIMILAR_COST * n_atoms[last[0]] ** 2 or n_pairs * (len(last) + 1) <= PAIRS_TOGETHER):
            last.append(i)
        else:
            groups.append([i])
    return [sorted(members) for members in groups]


def _distinct(cells: np.ndarray) -> bytes:
    """Bytes of cells (G,3,3), or of the first where all are the same: the multiplier is then evaluated once."""
    return cells[:1].tobytes() if (cells == cells[0]).all() else cells.tobytes()


def _cheapest(cost: float, batch_cost: float, device: str, n_latent: int) -> str:
    if cost < DIRECT_BELOW * math.sqrt(n_latent) and batch_cost < DIRECT_BATCH_BELOW:
        return "direct"
    return "nufft" if cost >= NUFFT_FROM.get(device, math.inf) else "separable"


def _check_volumes(cells: np.ndarray, periodic: np.ndarray) -> None:
    volumes = np.abs(np.linalg.det(cells))
    if (flat := periodic & (volumes < 1e-6)).any():
        i = int(np.flatnonzero(flat)[0])
        raise ValueError(f"structure {i} is periodic but its cell has no volume: {cells[i].tolist()}")


def _periodicity(pbc: Tensor | None, n_structures: int) -> np.ndarray:
    """Periodicity (B,3) on the host."""
    if pbc is None:
        return np.ones((n_structures, 3), dtype=bool)
    return np.ascontiguousarray(pbc.reshape(-1, 3).cpu().numpy().astype(bool))


def _padded_index(starts: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Atom index (G,n) of every slot of structures padded to one size, and which slots are filled (G,n)."""
    slots = np.arange(counts.max())
    filled = slots < counts[:, None]
    return starts[:, None] + np.where(filled, slots, 0), filled
