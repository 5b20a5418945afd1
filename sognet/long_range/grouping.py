"""Groups of structures that are summed in one go, and whether they serve for given cells and positions."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sognet.long_range.mesh_modes import MeshModes
from sognet.long_range.open_directions import PERIOD, OpenDirections, stand_in_cells
from sognet.long_range.reciprocal_grid import Bounds, ReciprocalGrid
from sognet.nn.transfer import moved

STRETCH = 1.1
"""How much longer than planned a cell may be in any direction: a tolerance of 1e-5 is 7e-5 then. It may be shorter."""

ROUNDING = 16
"""Units in the last place by which fixed cells may differ."""


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
    directions: OpenDirections | None = None  # of structures that are not periodic along all directions

    def lattices(self, cell: Tensor) -> Tensor:
        """Cells (G,3,3) of its structures among cells (B,3,3), with vectors of the plan in open directions."""
        cell = cell.detach() if self.structures is None else cell.detach().index_select(0, self.structures)
        if self.directions is None:
            return cell
        return stand_in_cells(cell, self.directions.axes, self.directions.periods, self.directions.helpers)

    def reaches(self, lattices: Tensor) -> Tensor:
        """Whether the planned modes are all that count in lattices (G,3,3): none is much longer than planned; (G,)."""
        deformation = self.grid.inverse_cells @ lattices  # its largest singular value is the stretch
        room = STRETCH**2 * torch.eye(3, dtype=lattices.dtype, device=lattices.device)
        return _is_positive(room - deformation @ deformation.mT)

    def has_room(self, positions: Tensor, inverse: Tensor) -> Tensor:
        """Whether atoms at positions (N,3) are no farther apart along open directions than planned for, for inverse
        lattices (G,3,3).
        """
        of_group = positions[None] if self.atoms is None else positions[self.atoms]
        fractional = (of_group.detach() @ inverse.to(positions.dtype))[..., self.directions.axes]
        if self.filled is not None:
            fractional = torch.where(self.filled.bool()[..., None], fractional, fractional[:, :1])
        return fractional.amax(1) - fractional.amin(1) <= 1 / PERIOD


@dataclass(frozen=True)
class Plan:
    """Groups of structures, for atoms in the order of the batch."""

    groups: tuple[Group, ...]
    n_atoms: int
    cells: Tensor  # (B,3,3), Å
    periodic: Tensor  # (B,3) bool
    batch: Tensor | None = None  # (N,); None for one structure
    fixed_cells: bool = False  # whether the cells that it is used with are exactly those that it was made for

    @property
    def n_structures(self) -> int:
        """Number of structures."""
        return len(self.cells)

    def to(self, *args: Any, **kwargs: Any) -> "Plan":
        """The same on another device."""
        return moved(self, *args, **kwargs)

    def covers(
        self, positions: Tensor, cell: Tensor | None = None, pbc: Tensor | None = None, batch: Tensor | None = None
    ) -> bool:
        """Whether the plan serves for these positions (N,3): as many atoms, and no farther apart along open directions
        than it has room for; with the other arguments of a forward pass also for these. Waits for a GPU.
        """
        if len(positions) != self.n_atoms or (cell is not None and len(cell) != self.n_structures):
            return False
        return bool(self.serves(positions, cell, self.periodic if pbc is None else pbc, batch))

    def serves(self, positions: Tensor, cell: Tensor | None, pbc: Tensor | None, batch: Tensor | None) -> Tensor:
        """The same as a scalar, for which nobody waits, of as many atoms and structures; pbc None: all periodic."""
        periodic = torch.ones_like(self.periodic) if pbc is None else pbc.reshape(-1, 3).bool()
        checks = [periodic == self.periodic]
        if batch is not None and self.batch is not None and batch is not self.batch:
            checks.append(batch == self.batch)
        fixed = cell is None or (self.fixed_cells and not cell.requires_grad)
        if fixed and cell is not None:
            checks.append(self._has(cell))
        for group in self.groups:
            if group.grid is None:
                continue
            inverse = group.grid.inverse_cells
            if not fixed:
                lattices = group.lattices(cell)
                inverse = torch.linalg.inv_ex(lattices).inverse
                checks.append(group.reaches(lattices))
            if group.directions is not None:
                checks.append(group.has_room(positions, inverse))
        return torch.stack([check.all() for check in checks]).all()

    def _has(self, cell: Tensor) -> Tensor:
        """Whether cells (B,3,3) are those of the plan along the periodic directions, (B,3,3)."""
        rounding = ROUNDING * torch.finfo(cell.dtype).eps * self.cells.abs().amax((1, 2), keepdim=True)
        return ((cell - self.cells).abs() <= rounding) | ~self.periodic[..., None]


def _is_positive(matrices: Tensor) -> Tensor:
    """Whether symmetric matrices (G,3,3) are positive definite (G,), by their leading minors."""
    first, minor = matrices[:, 0, 0], torch.linalg.cross(matrices[:, 0], matrices[:, 1])
    return (first > 0) & (minor[:, 2] > 0) & ((minor * matrices[:, 2]).sum(1) > 0)
