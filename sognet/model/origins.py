"""Positions near the origin, where single precision has digits for them."""

import torch
from torch import Tensor

from sognet.nn.precision import FAR


def near_first_atom(positions: Tensor, batch: Tensor, n_structures: int) -> Tensor:
    """Positions (N,3), of structures whose first atom is far from the origin those relative to it.

    Energies do not depend on where a structure is, so neither do their derivatives by positions and strain.

    Parameters
    ----------
    positions : Å, in double precision.
    batch : structure of each atom (N,), ascending.
    n_structures : B.
    """
    first = torch.searchsorted(batch, torch.arange(n_structures, device=batch.device))
    origins = positions.detach().index_select(0, first)  # (B, 3)
    far = origins.abs().amax(1, keepdim=True) > FAR
    return positions - torch.where(far, origins, 0.0).index_select(0, batch)
