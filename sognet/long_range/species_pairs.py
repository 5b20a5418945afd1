"""Kernels of pairs of species: E = (1/2V) Σ_p Σ_k Σ_ab ĝ_p,ab(k) Re[S_pa(k) S_pb(k)*] with ĝ_ab = ĝ_ba.

Latents (N, P·S) hold what an atom has in the column of its species, and zero in those of the others, so that every
species has a structure factor. The kernel has a channel for each pair a <= b, in the order 11, 12, ..., 1S, 22, ...,
which all P latents share, or P times as many.
"""

import torch
from torch import Tensor, nn

from sognet.long_range.multiplier import SumOfGaussians


def n_pairs(n_species: int) -> int:
    """Number of pairs a <= b of species."""
    return n_species * (n_species + 1) // 2


def kernel_of_pairs(kernel: SumOfGaussians, n_species: int) -> SumOfGaussians:
    """Kernel with each channel of another one for every pair of species, at the start all alike."""
    starts = (x.repeat_interleave(n_pairs(n_species), 0) for x in (kernel.start_weights, kernel.start_bandwidths))
    return SumOfGaussians(*starts, kernel.max_bandwidth, kernel.trainable)


class SpeciesPairs(nn.Module):
    """Sums over the pairs of species, which no checkpoint holds.

    Parameters
    ----------
    n_species : S.
    """

    first: Tensor
    second: Tensor
    counts: Tensor
    equal: Tensor

    def __init__(self, n_species: int) -> None:
        super().__init__()
        self.n_species = n_species
        first, second = torch.triu_indices(n_species, n_species)
        self.register_buffer("first", first, persistent=False)
        self.register_buffer("second", second, persistent=False)
        self.register_buffer("counts", 1 + (first != second).long(), persistent=False)  # a pair ab stands for ba too
        self.register_buffer("equal", torch.nonzero(first == second)[:, 0], persistent=False)

    @property
    def n_pairs(self) -> int:
        """Number of pairs."""
        return len(self.first)

    def products(self, real: Tensor, imaginary: Tensor, n_kernels: int) -> Tensor:
        """Re[S_a S_b*] of each pair, of ab and ba together, at structure factors (G,P·S,K): (G,n_kernels,K)."""
        real, imaginary = (x.unflatten(1, (-1, self.n_species)) for x in (real, imaginary))  # (G, P, S, K)
        found = real[:, :, self.first] * real[:, :, self.second]
        found = found + imaginary[:, :, self.first] * imaginary[:, :, self.second]
        found = found * self.counts[:, None]  # (G, P, pairs, K)
        return found.sum(1) if n_kernels == self.n_pairs else found.flatten(1, 2)

    def energies(self, interaction: Tensor, latent: Tensor) -> Tensor:
        """½ Σ_ij q_i q_j g(r_ij) of interactions (n_kernels,B,n,n) and latents (B,n,P·S): (B,)."""
        interaction = interaction.unflatten(0, (-1, self.n_pairs))  # (P or 1, pairs, B, n, n)
        latent = latent.unflatten(2, (-1, self.n_species)).permute(2, 3, 0, 1)  # (P, S, B, n)
        potential = (interaction @ latent[:, self.second, :, :, None])[..., 0] * self.counts[:, None, None]
        return 0.5 * (latent[:, self.first] * potential).sum((0, 1, 3))

    def self_energies(self, at_zero: Tensor, latent: Tensor) -> Tensor:
        """½ Σ_i q_i² g(0) of kernels at zero distance (n_kernels,) and latents (G,n,P·S): (G,)."""
        of_species = at_zero.unflatten(0, (-1, self.n_pairs))[:, self.equal]  # (P or 1, S)
        return 0.5 * (latent.square().unflatten(2, (-1, self.n_species)) * of_species).sum((1, 2, 3))
