"""The Fourier convolution layer: E_LR = (1/2V) Σ_p Σ_k ĝ_p(k) |S_p(k)|² of latents in periodic structures.

[SOG-Net] Ji, Liang, Xu, Phys. Rev. Lett. 135, 178001 (2025), arXiv:2502.04668. Structures without periodicity
are summed over pairs with the multiplier's real-space counterpart.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sognet.long_range import open_directions, structure_factor
from sognet.long_range.decay import fitted_decay
from sognet.long_range.grouping import Group, Plan
from sognet.long_range.input_shapes import check_channels, check_shapes
from sognet.long_range.mesh_size import FINEST
from sognet.long_range.multiplier import SumOfGaussians
from sognet.long_range.open_directions import stand_in_cells
from sognet.long_range.pair_sum import pair_energies
from sognet.long_range.plan import make_plan
from sognet.long_range.reciprocal_grid import grid_of
from sognet.long_range.species_pairs import SpeciesPairs, n_pairs
from sognet.nn.validity import nan_unless

METHODS = ("auto", "separable", "mesh", "nufft", "direct")


class FourierConvolution(nn.Module):
    """Long-range energy of latents under a trainable sum-of-Gaussians kernel.

    Parameters
    ----------
    kernel : the multiplier; with one channel it is shared by all latent channels, else it has as many channels.
    k_cut : truncation of the reciprocal sum, |k| <= k_cut in 1/Å; by default `kernel.k_cut(tolerance)`.
    tolerance : relative accuracy asked of the truncation, the mesh and the NUFFT.
    method : how the structure factor is computed: "separable" (batched matrix products), "mesh" (near-linear
        cost, B-splines and an FFT), "nufft" (near-linear cost, any accuracy), "direct" (the plain sum), or "auto", the
        cheapest by size.
    remove_self_interaction : subtract ½ g(0) Σ q², the interaction of each latent with itself.
    include_zero_mode : keep k = 0, where a net latent charge interacts with itself; without it a uniform
        background neutralises the cell. Structures with an open direction have no background: they keep it. Or one of
        these for each latent channel.
    n_species : S, of kernels that are those of pairs of species (sognet.long_range.species_pairs): latents are then
        (N, P·S), those of an atom in the columns p·S + s of its species s.

    Raises
    ------
    ValueError : unknown method, tolerance outside (0, 1) or below what a mesh reaches, k_cut not positive, or another
        number of channels than the kernel's.
    """

    takes_slabs = True
    """Whether structures may be periodic along some directions only; layers that do not say are taken to."""

    def __init__(
        self,
        kernel: SumOfGaussians,
        k_cut: float | None = None,
        tolerance: float = 1e-5,
        method: str = "auto",
        remove_self_interaction: bool = False,
        include_zero_mode: bool | Sequence[bool] = False,
        n_species: int = 1,
    ) -> None:
        super().__init__()
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
        if k_cut is None:
            k_cut = kernel.k_cut(tolerance)
        if not (k_cut > 0 and 0 < tolerance < 1):
            raise ValueError(f"need k_cut > 0 and 0 < tolerance < 1, got k_cut={k_cut}, tolerance={tolerance}")
        if method == "mesh" and tolerance < FINEST:
            raise ValueError(
                f"a mesh reaches a tolerance of {FINEST:g}, not {tolerance:g}; choose method='nufft' for that"
            )
        self.kernel = kernel
        self.k_cut = float(k_cut)
        self.tolerance = tolerance
        self.method = method
        self.remove_self_interaction = remove_self_interaction
        self.include_zero_mode = include_zero_mode if isinstance(include_zero_mode, bool) else list(include_zero_mode)
        self.n_species = n_species
        self.pairs = SpeciesPairs(n_species) if n_species > 1 else None
        if n_species < 1 or kernel.n_channels % n_pairs(n_species):
            raise ValueError(
                f"the kernel has {kernel.n_channels} channels; for n_species={n_species} there is one for each of "
                f"{n_pairs(n_species)} pairs, or a multiple of that"
            )
        n_kernels = kernel.n_channels // n_pairs(n_species)
        if self._of_channels and n_kernels not in (1, len(self.include_zero_mode)):
            raise ValueError(
                f"include_zero_mode={self.include_zero_mode} is for {len(self.include_zero_mode)} latent channels, "
                f"but the kernel has {n_kernels}"
            )

    def forward(
        self,
        latent: Tensor,
        positions: Tensor,
        cell: Tensor,
        pbc: Tensor | None = None,
        batch: Tensor | None = None,
        plan: Plan | None = None,
    ) -> Tensor:
        """Long-range energy of each structure.

        Parameters
        ----------
        latent : (N, P), in e where P = 1 and the kernel carries Coulomb's constant; (N, P·S) with kernels of pairs of
            species.
        positions : (N, 3), Å.
        cell : (B, 3, 3), lattice vectors in rows, Å.
        pbc : (B, 3) bool, the periodic directions of each structure; default true. What `cell` has in the others is not
            read.
        batch : (N,), structure of each atom; needed where B > 1.
        plan : how they are summed, from `plan()`; by default made here.

        Returns
        -------
        (B,) energies in eV; NaN where the plan does not serve for these structures and nothing can be raised, which is
        on a GPU and in what is compiled.

        Raises
        ------
        ValueError : shapes that do not fit, a periodic cell without volume, a plan that does not serve.
        """
        check_shapes(latent, positions, cell, batch, plan)
        check_channels(latent.shape[1], self.kernel.n_channels, self.n_species, self.include_zero_mode)
        if plan is None:
            plan = self.plan(cell, pbc, batch, positions, latent.shape[1], fixed_cells=True)
            return self._of_groups(plan, latent, positions, cell)
        return nan_unless(
            plan.serves(positions, cell, pbc, batch),
            self._of_groups(plan, latent, positions, cell),
            "the plan is for other cells, periodicity or atoms of structures, or has no room for these positions along "
            "open directions; make a new one (plan.covers(positions, cell, pbc, batch))",
        )

    def _of_groups(self, plan: Plan, latent: Tensor, positions: Tensor, cell: Tensor) -> Tensor:
        """Energies (B,) of structures that a plan serves for."""
        fixed = plan.fixed_cells and not cell.requires_grad
        if len(cell) == 1 and plan.groups:
            return self._energies(plan.groups[0], latent[None], positions[None], cell, fixed)
        energies = positions.new_zeros(len(cell))
        for group in plan.groups:
            padded = latent[group.atoms]
            if group.filled is not None:
                padded = padded * group.filled.to(padded.dtype)[..., None]
            lattices = cell.index_select(0, group.structures)
            found = self._energies(group, padded, positions[group.atoms], lattices, fixed)
            energies = energies.index_add(0, group.structures, found)
        return energies

    def plan(
        self,
        cell: Tensor,
        pbc: Tensor | None = None,
        batch: Tensor | None = None,
        positions: Tensor | None = None,
        n_latent: int | None = None,
        fixed_cells: bool = False,
        device: str | None = None,
    ) -> Plan:
        """How structures of these cells, counts and periodicity are summed.

        It serves as long as these stay, while `plan.covers(positions)`; cells may change a little where the modes that
        count may stay the same. A forward pass with a plan holds nothing but tensor operations and compiles in one
        graph where the method is "direct", "separable" or "mesh".

        Parameters
        ----------
        cell, pbc, batch, positions : as for the forward pass; positions may be left out where `batch` is given and no
            structure is periodic along some directions only.
        n_latent : columns of the latents, for the choice of the method; by default as many as the kernel is for.
        fixed_cells : the cells will stay exactly these, and what depends on them alone is not computed again where no
            derivative by them is asked for.
        device : kind of device, "cpu" or "cuda", on which it is used; by default that of the cells.

        Raises
        ------
        ValueError : a periodic cell without volume; positions are missing where a direction is open.
        """
        n_atoms = len(batch if positions is None else positions)
        zero_mode = any(self.include_zero_mode) if self._of_channels else self.include_zero_mode
        kernels_of_pairs = n_pairs(self.n_species)
        n_latent = n_latent or self.kernel.n_channels // kernels_of_pairs * self.n_species
        settings = self.k_cut, zero_mode, self.method, n_latent
        accuracy = self.tolerance, self.kernel.k_cut(self.tolerance)
        with torch.inference_mode(False), torch.no_grad():
            return make_plan(
                *(cell, pbc, batch, n_atoms, *settings, cell.dtype, accuracy, fixed_cells, device, positions),
                n_kernels=kernels_of_pairs,
            )

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

    def diagnostics(
        self, cutoff: float | None = None, box_length: float | None = None, periodic: bool = True, **_: Any
    ) -> dict[str, float]:
        """`kernel/exponent` and `kernel/coulomb_ratio` of the kernel's decay (see fitted_decay), of several channels
        `kernel/<channel>/exponent` and so on; nothing without a cutoff and a length of the boxes, both in Å.
        """
        found: dict[str, float] = {}
        for channel in range(self.kernel.n_channels) if cutoff and box_length else ():
            decay = fitted_decay(self.kernel, cutoff, box_length, channel, periodic)
            if decay is not None:
                name = f"kernel/{channel}" if self.kernel.n_channels > 1 else "kernel"
                found |= {f"{name}/exponent": decay.exponent, f"{name}/coulomb_ratio": decay.coulomb_ratio}
        return found

    def truncation_error(self) -> Tensor:
        """Bound on the relative error that k_cut leaves in g(r) at the present parameters, (n_channels,)."""
        return self.kernel.truncation_error(self.k_cut)

    def _energies(self, group: Group, latent: Tensor, positions: Tensor, cell: Tensor, fixed: bool) -> Tensor:
        """Energies (G,) of padded structures: latents (G,n,P), positions (G,n,3), cells (G,3,3); fixed: the cells are
        those of the plan.
        """
        if group.method == "pairs":
            energies = pair_energies(self.kernel, latent, positions, self.pairs)
        else:
            energies = self._reciprocal_sum(group, latent, positions, cell, fixed)
        if self.remove_self_interaction:
            at_zero = self.kernel.at_squared_distance(latent.new_zeros(1))[:, 0]  # (P or 1,)
            if self.pairs is not None:
                return energies - self.pairs.self_energies(at_zero, latent)
            energies = energies - 0.5 * (latent.square() * at_zero).sum((1, 2))
        return energies

    def _reciprocal_sum(self, group: Group, latent: Tensor, positions: Tensor, cell: Tensor, fixed: bool) -> Tensor:
        """(1/2V) Σ_k ĝ(k) |S(k)|²: the structure factor depends on fractional coordinates alone, the cell enters
        through |k| and V.
        """
        grid, directions = group.grid, group.directions
        if not fixed:
            axes = ()
            if directions is not None:
                axes = directions.axes
                cell = stand_in_cells(cell, axes, directions.periods, directions.helpers)
            grid = grid_of(cell, group.grid.modes, group.grid.multiplicity, axes)
        fractional = positions @ grid.inverse_cells
        fractional = fractional - fractional.detach().round()
        if group.method == "nufft":
            real, imaginary = structure_factor.nufft(latent, fractional, group.bounds, self.tolerance)
        elif group.method == "mesh":
            real, imaginary = structure_factor.mesh(latent, fractional, group.mesh)
        elif group.method == "separable":
            real, imaginary = structure_factor.separable(latent, fractional, group.bounds)
        else:
            real, imaginary = structure_factor.direct(latent, fractional, grid.modes)
        if directions is None:
            multiplier = self.kernel.multiplier(grid.k_squared)  # (P or 1, G, K)
            if self._of_channels:
                kept = torch.tensor(self.include_zero_mode, device=multiplier.device)[:, None, None]
                kept = kept.repeat_interleave(n_pairs(self.n_species), 0)
                multiplier = multiplier.repeat(len(kept) // len(multiplier), 1, 1)
                multiplier = torch.where(kept | (grid.k_squared > 0), multiplier, 0.0)  # (P, G, K)
        else:
            multiplier = open_directions.multiplier(self.kernel, grid.inverse_cells, directions)
        if self.pairs is None:
            power = real.square() + imaginary.square()  # (G, P, K)
        else:
            power = self.pairs.products(real, imaginary, len(multiplier))  # (G, pairs or P·pairs, K)
        multiplier = multiplier * grid.multiplicity
        return (multiplier.transpose(0, 1) * power).sum((1, 2)) / (2 * grid.volumes)

    @property
    def _of_channels(self) -> bool:
        """Whether some latent channels keep the mode zero and others may not."""
        return not isinstance(self.include_zero_mode, bool)

    def extra_repr(self) -> str:
        return f"k_cut={self.k_cut:.4g}, tolerance={self.tolerance:g}, method={self.method!r}"
