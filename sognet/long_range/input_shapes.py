"""What a layer is given must fit together: shapes of latents, positions and cells, and channels of the kernel."""

from torch import Tensor

from sognet.long_range.grouping import Plan
from sognet.long_range.species_pairs import n_pairs


def check_shapes(latent: Tensor, positions: Tensor, cell: Tensor, batch: Tensor | None, plan: Plan | None) -> None:
    """Raise a ValueError where shapes do not fit to each other or to the plan."""
    if latent.ndim != 2 or positions.shape != (len(latent), 3) or cell.shape[1:] != (3, 3):
        raise ValueError(
            "expected latent (N, P), positions (N, 3) and cell (B, 3, 3), got "
            f"{tuple(latent.shape)}, {tuple(positions.shape)} and {tuple(cell.shape)}"
        )
    if batch is None and len(cell) != 1:
        raise ValueError(f"{len(cell)} cells were given; `batch` must say which structure each atom belongs to")
    if plan is not None and (plan.n_atoms, plan.n_structures) != (len(positions), len(cell)):
        raise ValueError(
            f"the plan is for {plan.n_atoms} atoms in {plan.n_structures} structures, but {len(positions)} atoms "
            f"in {len(cell)} were given; make a new one"
        )


def check_channels(n_columns: int, n_kernels: int, n_species: int, zero_modes: bool | list[bool]) -> None:
    """Raise a ValueError where the columns of the latents are not for the kernels, or for the list of zero modes."""
    n_latent, left = divmod(n_columns, n_species)
    if left:
        raise ValueError(f"latents of {n_species} species have a multiple of that as columns, not {n_columns}")
    if not isinstance(zero_modes, bool) and len(zero_modes) != n_latent:
        raise ValueError(
            f"include_zero_mode={zero_modes} is for {len(zero_modes)} latent channels, but there are {n_latent}"
        )
    pairs = n_pairs(n_species)
    if n_kernels in (pairs, n_latent * pairs):
        return
    if n_species == 1:
        raise ValueError(
            f"the kernel has {n_kernels} channels and the latents {n_latent}; "
            "a kernel has one channel (shared) or as many as the latents"
        )
    raise ValueError(
        f"the kernel has {n_kernels} channels; {n_latent} latents of {n_species} species take {pairs} (shared, one for "
        f"each pair of species) or {n_latent * pairs}"
    )
