"""How the structures of a batch are grouped and summed: decided once, from cells, counts and periodicity, in double
precision. What is left for every step is tensors.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sognet.long_range.mesh_modes import MeshModes, MeshSize, fixed_mesh_modes
from sognet.long_range.mesh_size import mesh_size
from sognet.long_range.reciprocal_grid import Bounds, ReciprocalGrid, fixed_reciprocal_grid, mode_bounds
from sognet.nn.transfer import moved

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

PAIRS_TOGETHER = 1_000_000
"""Pairs with padding, up to which structures without periodicity are summed in one go whatever their sizes."""


@dataclass(frozen=True)
class Group:
    """Structures of a batch that are summed in one go, padded to the largest of them."""

    method: str  # "pairs", or how the structure factor is computed
    bounds: Bounds  # of the modes
    grid: ReciprocalGrid | None  # of the cells that were planned for
    structures: Tensor | None = None  # (G,); None, and no atoms: the only structure as it is
    atoms: Tensor | None = None  # (G, n) atom of every slot
    filled: Tensor | None = None  # (G, n) 1 where a slot has an atom, 0 where it is padding; None: no padding
    mesh: MeshModes | None = None  # with the method "mesh"


@dataclass(frozen=True)
class Plan:
    """Groups of structures, for atoms in the order of the batch."""

    groups: tuple[Group, ...]
    n_atoms: int
    n_structures: int
    fixed_cells: bool = False  # whether the cells that it is used with are exactly those that it was made for

    def to(self, *args: Any, **kwargs: Any) -> "Plan":
        """The same on another device."""
        return moved(self, *args, **kwargs)

    def covers(self, positions: Tensor) -> bool:
        """Whether the plan serves for these positions (N,3): as many atoms. Cells and periodicity must be the same."""
        return len(positions) == self.n_atoms


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
) -> Plan:
    """Plan for structures with cells (B,3,3) in Å and the periodicity (B,3) of each, atoms (N,) in them. The accuracy
    of a mesh is its tolerance and the wave number beyond which the multiplier is below that.

    Raises
    ------
    ValueError : mixed periodicity within a structure, a periodic cell without volume.
    """
    here, n_structures = cell.device, len(cell)
    counts = _atoms_per_structure(batch, n_atoms, n_structures)
    cells = cell.detach().cpu().double().numpy()
    groups = _grouped(
        *(cells.tobytes(), counts.tobytes(), _is_periodic(pbc, n_structures)),
        *(k_cut, method, device or here.type, n_latent, accuracy),
    )
    order = None if batch is None or n_structures == 1 else torch.argsort(batch, stable=True)
    starts = np.cumsum(counts) - counts
    made = []
    for chosen, structures, bounds, lattices, size in groups:
        grid = mesh = None
        if chosen != "pairs":
            like = here, dtype
            grid = fixed_reciprocal_grid(lattices, bounds, k_cut, include_zero_mode, chosen in ("direct", "mesh"), like)
            if size is not None:
                mesh = fixed_mesh_modes(size, lattices, bounds, k_cut, include_zero_mode, like)
        if order is None:
            made.append(Group(chosen, bounds, grid, mesh=mesh))
            continue
        index, filled = _padded_index(starts[structures], counts[structures])
        mask = None if filled.all() else torch.from_numpy(filled).to(here, dtype)
        members = torch.tensor(structures, device=here)
        made.append(Group(chosen, bounds, grid, members, order[torch.from_numpy(index).to(here)], mask, mesh))
    return Plan(tuple(made), n_atoms, n_structures, fixed_cells)


def _atoms_per_structure(batch: Tensor | None, n_atoms: int, n_structures: int) -> np.ndarray:
    if n_structures == 1:
        return np.array([n_atoms])
    return torch.bincount(batch, minlength=n_structures).cpu().numpy()


@lru_cache(maxsize=64)
def _grouped(
    cells: bytes,
    counts: bytes,
    periodic: bytes,
    k_cut: float,
    method: str,
    device: str,
    n_latent: int,
    accuracy: tuple[float, float],
) -> list[tuple[str, list[int], Bounds, bytes, MeshSize | None]]:
    """Method, structures, bounds of modes, distinct cells and size of the mesh of each group, structures of one method
    and similar cost together; remembered, since the host's share of the work is what counts for small structures. Bytes
    of cells (B,3,3), counts (B,), periodic (B,).
    """
    lattice = np.frombuffer(cells).reshape(-1, 3, 3)
    n_atoms = np.frombuffer(counts, dtype=np.int64)
    is_periodic = np.frombuffer(periodic, dtype=bool)
    _check_volumes(lattice, is_periodic)
    aperiodic = np.flatnonzero(~is_periodic & (n_atoms > 0)).tolist()
    pairs = [("pairs", members, (0, 0, 0), b"", None) for members in _of_similar_size(aperiodic, n_atoms)]
    bounds = mode_bounds(lattice, k_cut)  # (B, 3)
    cost = n_atoms * (bounds[:, 0] + 1.0) * (2 * bounds[:, 1] + 1) * (2 * bounds[:, 2] + 1)
    groups: list[tuple[str, list[int], MeshSize | None]] = []
    for i in sorted(np.flatnonzero(is_periodic & (n_atoms > 0)).tolist(), key=cost.__getitem__):
        chosen = _cheapest(cost[i], cost[is_periodic].sum(), device, n_latent) if method == "auto" else method
        size = mesh_size(lattice[i], bounds[i], *accuracy) if chosen == "mesh" else None
        like = [g for g in groups if g[0] == chosen and g[2] == size and cost[i] <= SIMILAR_COST * cost[g[1][0]]]
        if like and chosen != "nufft":
            like[-1][1].append(i)
        else:
            groups.append((chosen, [i], size))
    return pairs + [(m, s, tuple(bounds[s].max(0).tolist()), _distinct(lattice[s]), n) for m, s, n in groups]


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


def _is_periodic(pbc: Tensor | None, n_structures: int) -> bytes:
    """One byte per structure: whether it is periodic along all three directions or along none."""
    if pbc is None:
        return b"\x01" * n_structures
    pbc = pbc.reshape(-1, 3).cpu().numpy()
    periodic = pbc.all(1)
    if (mixed := periodic != pbc.any(1)).any():
        i = int(np.flatnonzero(mixed)[0])
        raise ValueError(
            f"structure {i} is periodic along some directions only, pbc = {pbc[i].tolist()}; make it periodic along "
            "all three, with vacuum where it should not repeat, or along none"
        )
    return periodic.tobytes()


def _padded_index(starts: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Atom index (G,n) of every slot of structures padded to one size, and which slots are filled (G,n)."""
    slots = np.arange(counts.max())
    filled = slots < counts[:, None]
    return starts[:, None] + np.where(filled, slots, 0), filled
