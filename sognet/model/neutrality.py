"""Latents of a structure that add up to its total charge: the excess is shared out over its atoms."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sognet.model.heads import ElementLatents


class Neutralization(nn.Module):
    """Shifts latents so that the first channel adds up to the total charge of each structure, the others to zero.

    Parameters
    ----------
    channels : which channels are shifted; true for all.
    species : chemical symbols, to share the excess out by trainable positive weights of the elements, of one at first;
        None: equally.
    """

    def __init__(self, channels: bool | Sequence[bool] = True, species: Sequence[str] | None = None) -> None:
        super().__init__()
        self.channels = channels
        self.weights = None if species is None else ElementLatents(species, 1)

    def forward(self, latent: Tensor, z: Tensor, charge: Tensor, batch: Tensor) -> Tensor:
        """Latents (N,P), atomic numbers (N,), total charges (B,), structure of each atom (N,) -> latents (N,P)."""
        n_structures = len(charge)
        shares = torch.ones_like(latent[:, :1])
        if self.weights is not None:
            shares = nn.functional.softplus(self.weights(z) + math.log(math.e - 1)).to(latent.dtype)  # (N, 1)
        wanted = nn.functional.pad(charge.to(latent.dtype).reshape(-1, 1), (0, latent.shape[1] - 1))
        excess = latent.new_zeros(n_structures, latent.shape[1]).index_add(0, batch, latent) - wanted
        if not isinstance(self.channels, bool):
            excess = excess * excess.new_tensor(self.channels)
        totals = latent.new_zeros(n_structures, 1).index_add(0, batch, shares)
        return latent - shares * (excess / totals).index_select(0, batch)
