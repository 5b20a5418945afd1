"""Independent and slow references for the layer."""

import math

import torch
from torch import Tensor

from sognet.long_range import SumOfGaussians

TRICLINIC = ((9.0, 0.0, 0.0), (1.5, 8.0, 0.0), (-0.8, 1.1, 10.0))


def salt(n_atoms: int = 24, n_channels: int = 1, cell=TRICLINIC, device: str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
    """Random latents (N,P) and positions (N,3) in a triclinic cell (1,3,3)."""
    cell = torch.tensor(cell)
    latent, positions = torch.randn(n_atoms, n_channels), torch.rand(n_atoms, 3) @ cell
    return latent.to(device), positions.to(device), cell[None].to(device)


def dense_reciprocal_sum(
    kernel: SumOfGaussians, latent: Tensor, positions: Tensor, cell: Tensor, k_cut: float
) -> Tensor:
    """(1/2V) Σ over all 0 < |k| <= k_cut of ĝ(k) |S(k)|², one term per mode of the whole sphere; cell (3,3)."""
    reciprocal = 2 * math.pi * torch.linalg.inv(cell).T
    reach = [int(k_cut * a.norm() / (2 * math.pi)) + 1 for a in cell]
    modes = torch.cartesian_prod(*[torch.arange(-n, n + 1).to(cell) for n in reach])
    k = modes @ reciprocal
    k_squared = k.square().sum(1)
    kept = (k_squared > 1e-10) & (k_squared <= k_cut**2)
    phase = positions @ k[kept].T
    cosine, sine = latent.T @ phase.cos(), latent.T @ phase.sin()
    energy = kernel.multiplier(k_squared[kept]) * (cosine**2 + sine**2)
    return energy.sum() / (2 * torch.linalg.det(cell).abs())


def lattice_sum(kernel: SumOfGaussians, latent: Tensor, positions: Tensor, cell: Tensor, reach: int) -> Tensor:
    """½ Σ over atoms and images of q_i q_j g(r), less the k = 0 term; cell (3,3), images up to `reach` cells away."""
    images = torch.cartesian_prod(*[torch.arange(-reach, reach + 1).to(cell)] * 3) @ cell
    energy = cell.new_zeros(())
    for image in images:
        distance = (positions[:, None] - positions[None] + image).norm(dim=-1)
        energy = energy + 0.5 * torch.einsum(
            "pij,ip,jp->", kernel(distance).expand(latent.shape[1], -1, -1), latent, latent
        )
    background = kernel.multiplier(cell.new_zeros(1))[:, 0] * latent.sum(0) ** 2
    return energy - background.sum() / (2 * torch.linalg.det(cell).abs())
