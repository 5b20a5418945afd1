"""Long-range energy of structures without periodicity: E = ½ Σ_p Σ_ij q_ip q_jp g_p(r_ij), self term included."""

from torch import Tensor

from sognet.long_range.multiplier import SumOfGaussians
from sognet.long_range.species_pairs import SpeciesPairs


def pair_energies(
    kernel: SumOfGaussians, latent: Tensor, positions: Tensor, species: SpeciesPairs | None = None
) -> Tensor:
    """Energies (B,) in eV of latents (B,n,P) at positions (B,n,3) in Å; padding atoms have zero latent.

    species : kernels are those of pairs of species, and latents (B,n,P·S).
    """
    distance_squared = (positions[:, :, None] - positions[:, None]).square().sum(-1)  # (B, n, n)
    interaction = kernel.at_squared_distance(distance_squared)  # (P or 1, B, n, n)
    if species is not None:
        return species.energies(interaction, latent)
    latent = latent.permute(2, 0, 1)  # (P, B, n)
    potential = (interaction @ latent[..., None])[..., 0]
    return 0.5 * (latent * potential).sum((0, 2))
