"""The long-range layer beside torch-pme's P3M at equal force error: reciprocal sums alone, energies and forces.

Each sum has its own kernel and is compared with a converged sum of the same: Gaussians of 1/r from 5 Å on, or
erf(r/√2σ)/r. Of the meshes and orders of P3M the fastest counts whose forces err by no more than the layer's tolerance.

python experiments/benchmarks/p3m.py
"""

import argparse
import itertools
from functools import partial

import torch
import torchpme
from long_range import CUTOFF, energies, seconds, structures
from torch import Tensor

from sognet.freed_memory import keep_freed_memory
from sognet.long_range import COULOMB_CONSTANT, FourierConvolution, SumOfGaussians

TOLERANCE = 1e-4  # the default of the layer, and the largest relative error of P3M's forces
SMEARINGS = {"σ = 1 Å, for a cutoff of 5 Å": 1.0, "σ = 2.5 Å, the layer's narrowest, for a cutoff of 12.5 Å": 2.5}
SPACINGS = (1.5, 1.2, 1.0, 0.8, 0.65, 0.5, 0.4, 0.3, 0.25)
"""Of the meshes, over the smearing."""


class Ewald(SumOfGaussians):
    """Multiplier 4πC exp(−σ²k²/2)/k² of erf(r/√2σ)/r, for converged sums."""

    def __init__(self, smearing: float) -> None:
        super().__init__([[1.0]], [[2**0.5 / smearing]])

    def multiplier(self, k_squared: Tensor) -> Tensor:
        """ĝ(k) at squared wave numbers k², 1/Å²: (...,) -> (1, ...)."""
        decay = self.start_bandwidths[0, 0].square().to(k_squared)
        return (4 * torch.pi * COULOMB_CONSTANT * torch.exp(-k_squared / decay) / k_squared.clamp(min=1e-12))[None]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--atoms", type=int, nargs="+", default=[1000, 4000, 10_000])
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    kernel = SumOfGaussians.power_law(1.0, CUTOFF)
    print("one thread, float32, energy and forces, processor time, tolerance 1e-4\n")
    for name, smearing in SMEARINGS.items():
        print(f"P3M with {name}")
        print("| atoms | force error of the layer | layer / ms | P3M: mesh / Å, order, error | P3M / ms | ratio |")
        print("| ---: | ---: | ---: | --- | ---: | ---: |")
        for n_atoms in options.atoms:
            compare(kernel, smearing, n_atoms)


def compare(kernel: SumOfGaussians, smearing: float, n_atoms: int) -> None:
    """Print a row."""
    latent, positions, cell, _ = structures(1, n_atoms, "cpu")
    latent = (latent - latent.mean()).detach()
    layer = FourierConvolution(kernel, tolerance=TOLERANCE)
    ours = partial(energies, layer, latent, positions, cell, None)
    reached_by_us = error(ours(), positions, converged(kernel, latent, positions, cell))
    wanted = converged(Ewald(smearing), latent, positions, cell)
    found = []
    for spacing, order in itertools.product(SPACINGS, (3, 4, 5)):
        calculator = torchpme.P3MCalculator(torchpme.CoulombPotential(smearing), spacing * smearing, order).float()
        theirs = partial(p3m, calculator, latent, positions, cell[0])
        reached = error(theirs(), positions, wanted)
        if reached <= TOLERANCE:
            found.append((seconds(theirs, positions), spacing * smearing, order, reached))
            if len(found) > 3:
                break
    time = seconds(ours, positions)
    row = f"| {n_atoms} | {reached_by_us:.1e} | {1e3 * time:.1f} |"
    if not found:
        print(f"{row} none is as accurate | | |", flush=True)
        return
    their_time, mesh, order, reached = min(found)
    print(f"{row} {mesh:.2f}, {order}, {reached:.1e} | {1e3 * their_time:.1f} | {their_time / time:.1f} |", flush=True)


def p3m(calculator: torchpme.P3MCalculator, charges: Tensor, positions: Tensor, cell: Tensor) -> Tensor:
    """Energy of the reciprocal part alone: no pairs are given."""
    no_pairs = torch.zeros(0, 2, dtype=torch.long), positions.new_zeros(0)
    return COULOMB_CONSTANT * (charges * calculator(charges, cell, positions, *no_pairs)).sum()


def converged(kernel: SumOfGaussians, latent: Tensor, positions: Tensor, cell: Tensor) -> Tensor:
    """Forces by a sum in double precision to 1e-9."""
    moved = positions.detach().double().requires_grad_()
    layer = FourierConvolution(kernel, tolerance=1e-9, method="nufft")
    return forces(layer(latent.double(), moved, cell.double()).sum(), moved)


def forces(energy: Tensor, positions: Tensor) -> Tensor:
    """−∂E/∂r, (N,3)."""
    return -torch.autograd.grad(energy, positions)[0]


def error(energy: Tensor, positions: Tensor, wanted: Tensor) -> float:
    """Relative error of forces."""
    return ((forces(energy, positions).double() - wanted).norm() / wanted.norm()).item()


if __name__ == "__main__":
    main()
