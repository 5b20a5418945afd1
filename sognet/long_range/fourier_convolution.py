"""The Fourier convolution layer: E_LR = (1/2V) Σ_p Σ_k ĝ_p(k) |S_p(k)|² of latents in periodic structures.

[SOG-Net] Ji, Liang, Xu, Phys. Rev. Lett. 135, 178001 (2025), arXiv:2502.04668. Structures without periodicity
are summed over pairs with the multiplier's real-space counterpart.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sognet.long_range import structure_factor
from sognet.long_range.decay import fitted_decay
from sognet.long_range.multiplier import SumOfGaussians
from sognet.long_range.pair_sum import pair_sum
from sognet.long_range.reciprocal_grid import Bounds, fixed_reciprocal_grid, mode_bounds, reciprocal_grid

METHODS = ("auto", "separable", "nufft", "direct")

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


@dataclass(frozen=True)
class _Group:
    """Structures of a batch that are summed in one go."""

    method: str  # "pairs" or one of METHODS but "auto"
    structures: list[int]
    bounds: Bounds = (0, 0, 0)
    cells: bytes = b""  # (G, 3, 3) doubles, or (1, 3, 3) where all cells are the same


class FourierConvolution(nn.Module):
    """Long-range energy of latents under a trainable sum-of-Gaussians kernel.

    Parameters
    ----------
    kernel : the multiplier; with one channel it is shared by all latent channels, else it has as many channels.
    k_cut : truncation of the reciprocal sum, |k| <= k_cut in 1/Å; by default `kernel.k_cut(tolerance)`.
    tolerance : relative accuracy asked of the truncation and of the NUFFT.
    method : how the structure factor is computed: "separable" (batched matrix products), "nufft" (near-linear
        cost), "direct" (the plain sum), or "auto", the cheapest by size.
    remove_self_interaction : subtract ½ g(0) Σ q², the interaction of each latent with itself.
    include_zero_mode : keep k = 0, where a net latent charge interacts with itself; without it a uniform
        background neutralises the cell.

    Raises
    ------
    ValueError : unknown method, tolerance outside (0, 1), k_cut not positive.
    """

    def __init__(
        self,
        kernel: SumOfGaussians,
        k_cut: float | None = None,
        tolerance: float = 1e-5,
        method: str = "auto",
        remove_self_interaction: bool = False,
        include_zero_mode: bool = False,
    ) -> None:
        super().__init__()
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
        if k_cut is None:
            k_cut = kernel.k_cut(tolerance)
        if not (k_cut > 0 and 0 < tolerance < 1):
            raise ValueError(f"need k_cut > 0 and 0 < tolerance < 1, got k_cut={k_cut}, tolerance={tolerance}")
        self.kernel = kernel
        self.k_cut = float(k_cut)
        self.tolerance = tolerance
        self.method = method
        self.remove_self_interaction = remove_self_interaction
        self.include_zero_mode = include_zero_mode

    def forward(
        self,
        latent: Tensor,
        positions: Tensor,
        cell: Tensor,
        pbc: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        """Long-range energy of each structure.

        Parameters
        ----------
        latent : (N, P), in e where P = 1 and the kernel carries Coulomb's constant.
        positions : (N, 3), Å.
        cell : (B, 3, 3), lattice vectors in rows, Å.
        pbc : (B, 3) bool, all true (reciprocal sum) or all false (pair sum) for each structure; default true.
        batch : (N,), structure of each atom; needed where B > 1.

        Returns
        -------
        (B,) energies in eV.

        Raises
        ------
        ValueError : shapes that do not fit, mixed periodicity within a structure, a periodic cell without volume.
        """
        self._check_shapes(latent, positions, cell, batch)
        counts = _atoms_per_structure(batch, len(positions), len(cell))
        cells = cell.detach().cpu().double().numpy()
        settings = self.k_cut, self.method, cell.device.type, latent.shape[1]
        groups = _plan(cells.tobytes(), counts.tobytes(), _is_periodic(pbc, len(cell)), *settings)
        if len(cell) == 1:
            return self._energies(groups[0], latent[None], positions[None], cell)
        order = torch.argsort(batch, stable=True)
        starts = np.cumsum(counts) - counts
        energies, structures = [cell.new_zeros(0)], []
        for group in groups:
            index, filled = _padded_index(starts[group.structures], counts[group.structures])
            atoms = order[torch.from_numpy(index).to(order.device)]  # (G, n)
            members = torch.tensor(group.structures, device=cell.device)
            padded = latent[atoms]
            if not filled.all():
                padded = padded * torch.from_numpy(filled).to(padded)[..., None]
            energies.append(self._energies(group, padded, positions[atoms], cell[members]))
            structures += group.structures
        target = torch.tensor(structures, device=cell.device, dtype=torch.long)
        energies = torch.cat(energies)
        return energies.new_zeros(len(cell)).index_add(0, target, energies)

    def potential(
        self,
        latent: Tensor,
        positions: Tensor,
        cell: Tensor,
        pbc: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        """Potential ∂E/∂q of each latent, (N, P) in eV per latent (V where latents are charges in e)."""
        differentiable = torch.is_grad_enabled()
        with torch.enable_grad():
            if not latent.requires_grad:
                latent = latent.detach().requires_grad_()
            energy = self(latent, positions, cell, pbc, batch).sum()
        (potential,) = torch.autograd.grad(energy, latent, create_graph=differentiable)
        return potential

    def regularization(self) -> dict[str, Tensor]:
        """Term `kernel` of a loss: the mean squared change of the kernel's parameters since the start."""
        return {"kernel": self.kernel.change()}

    def diagnostics(self, cutoff: float | None = None, box_length: float | None = None, **_: Any) -> dict[str, float]:
        """`kernel/exponent` and `kernel/coulomb_ratio` of the kernel's decay (see fitted_decay), of several channels
        `kernel/<channel>/exponent` and so on; nothing without a cutoff and a length of the boxes, both in Å.
        """
        found: dict[str, float] = {}
        for channel in range(self.kernel.n_channels) if cutoff and box_length else ():
            decay = fitted_decay(self.kernel, cutoff, box_length, channel)
            if decay is not None:
                name = f"kernel/{channel}" if self.kernel.n_channels > 1 else "kernel"
                found |= {f"{name}/exponent": decay.exponent, f"{name}/coulomb_ratio": decay.coulomb_ratio}
        return found

    def truncation_error(self) -> Tensor:
        """Bound on the relative error that k_cut leaves in g(r) at the present parameters, (n_channels,)."""
        return self.kernel.truncation_error(self.k_cut)

    def _energies(self, group: _Group, latent: Tensor, positions: Tensor, cell: Tensor) -> Tensor:
        """Energies (G,) of padded structures: latents (G,n,P), positions (G,n,3), cells (G,3,3)."""
        if group.method == "pairs":
            energies = pair_sum(self.kernel, latent, positions)
        else:
            energies = self._reciprocal_sum(group, latent, positions, cell)
        if self.remove_self_interaction:
            self_potential = self.kernel.at_squared_distance(latent.new_zeros(1))  # (P or 1, 1)
            energies = energies - 0.5 * (latent.square() * self_potential[:, 0]).sum((1, 2))
        return energies

    def _reciprocal_sum(self, group: _Group, latent: Tensor, positions: Tensor, cell: Tensor) -> Tensor:
        """(1/2V) Σ_k ĝ(k) |S(k)|²: the structure factor depends on fractional coordinates alone, the cell enters
        through |k| and V.
        """
        settings = group.bounds, self.k_cut, self.include_zero_mode, group.method == "direct"
        if cell.requires_grad:
            grid = reciprocal_grid(cell, *settings)
        else:
            grid = fixed_reciprocal_grid(group.cells, *settings, like=(latent.device, latent.dtype))
        fractional = positions @ grid.inverse_cells
        fractional = fractional - fractional.detach().round()
        if group.method == "nufft":
            real, imaginary = structure_factor.nufft(latent, fractional, group.bounds, self.tolerance)
        elif group.method == "separable":
            real, imaginary = structure_factor.separable(latent, fractional, group.bounds)
        else:
            real, imaginary = structure_factor.direct(latent, fractional, grid.modes)
        power = real.square() + imaginary.square()  # (G, P, K)
        multiplier = self.kernel.multiplier(grid.k_squared) * grid.multiplicity  # (P or 1, G, K)
        return (multiplier.transpose(0, 1) * power).sum((1, 2)) / (2 * grid.volumes)

    def _check_shapes(self, latent: Tensor, positions: Tensor, cell: Tensor, batch: Tensor | None) -> None:
        if latent.ndim != 2 or positions.shape != (len(latent), 3) or cell.shape[1:] != (3, 3):
            raise ValueError(
                "expected latent (N, P), positions (N, 3) and cell (B, 3, 3), got "
                f"{tuple(latent.shape)}, {tuple(positions.shape)} and {tuple(cell.shape)}"
            )
        if self.kernel.n_channels not in (1, latent.shape[1]):
            raise ValueError(
                f"the kernel has {self.kernel.n_channels} channels and the latents {latent.shape[1]}; "
                "a kernel has one channel (shared) or as many as the latents"
            )
        if batch is None and len(cell) != 1:
            raise ValueError(f"{len(cell)} cells were given; `batch` must say which structure each atom belongs to")

    def extra_repr(self) -> str:
        return f"k_cut={self.k_cut:.4g}, tolerance={self.tolerance:g}, method={self.method!r}"


def _atoms_per_structure(batch: Tensor | None, n_atoms: int, n_structures: int) -> np.ndarray:
    if n_structures == 1:
        return np.array([n_atoms])
    return torch.bincount(batch, minlength=n_structures).cpu().numpy()


@lru_cache(maxsize=64)
def _plan(
    cells: bytes, counts: bytes, periodic: bytes, k_cut: float, method: str, device: str, n_latent: int
) -> list[_Group]:
    """Sort the structures of a batch into groups of one method and similar cost; remembered, since the host's
    share of the work is what counts for small structures. Bytes of cells (B,3,3), counts (B,), periodic (B,).
    """
    lattice = np.frombuffer(cells).reshape(-1, 3, 3)
    n_atoms = np.frombuffer(counts, dtype=np.int64)
    is_periodic = np.frombuffer(periodic, dtype=bool)
    _check_volumes(lattice, is_periodic)
    pairs = [] if is_periodic.all() else [_Group("pairs", np.flatnonzero(~is_periodic & (n_atoms > 0)).tolist())]
    bounds = mode_bounds(lattice, k_cut)  # (B, 3)
    cost = n_atoms * (bounds[:, 0] + 1.0) * (2 * bounds[:, 1] + 1) * (2 * bounds[:, 2] + 1)
    groups: list[tuple[str, list[int]]] = []
    for i in sorted(np.flatnonzero(is_periodic & (n_atoms > 0)).tolist(), key=cost.__getitem__):
        chosen = _cheapest(cost[i], cost[is_periodic].sum(), device, n_latent) if method == "auto" else method
        last_method, last = groups[-1] if groups else ("", [])
        if chosen == last_method and chosen != "nufft" and cost[i] <= SIMILAR_COST * cost[last[0]]:
            last.append(i)
        else:
            groups.append((chosen, [i]))
    return pairs + [_Group(m, s, tuple(bounds[s].max(0).tolist()), _distinct(lattice[s])) for m, s in groups]


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
