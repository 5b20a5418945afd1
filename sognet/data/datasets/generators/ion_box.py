"""What potentials that sample ions in a periodic box share: pairs of ions, the energy of their charges, and forces."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torchpme
from ase import Atoms, units
from vesin import NeighborList

COULOMB_CONSTANT = units.Hartree * units.Bohr
"""e²/(4πε₀) in eV·Å."""

THREADS = 1  # with several, the order of sums and so the trajectory would vary


class IonBox:
    """Positions of ions from which an energy can be differentiated.

    Parameters
    ----------
    atoms : ions in a periodic box.
    cutoff : Å, of the pairs.
    """

    def __init__(self, atoms: Atoms, cutoff: float) -> None:
        i, j, shift = NeighborList(cutoff=cutoff, full_list=False).compute(
            atoms.positions, atoms.cell.array, True, "ijS"
        )
        self.pairs = torch.from_numpy(np.stack([i, j], 1).astype(np.int64))  # (n_pairs, 2), each once
        self.positions = torch.tensor(atoms.positions, requires_grad=True)  # (N, 3)
        self.cell = torch.from_numpy(atoms.cell.array)
        vectors = self.positions[self.pairs[:, 1]] - self.positions[self.pairs[:, 0]]
        self.distance = (vectors + torch.from_numpy(shift.astype(float)) @ self.cell).norm(dim=1)  # (n_pairs,)

    def ewald_energy(self, ewald: torchpme.EwaldCalculator, charges: torch.Tensor) -> torch.Tensor:
        """Energy of charges (N,1) in e, without Coulomb's constant."""
        return (charges * ewald(charges, self.cell, self.positions, self.pairs, self.distance)).sum()

    def results(self, energy: torch.Tensor) -> dict[str, Any]:
        """Energy (eV) and forces (N,3) in eV/Å."""
        (gradient,) = torch.autograd.grad(energy, self.positions)
        return {"energy": energy.item(), "forces": -gradient.numpy()}


@contextmanager
def one_thread() -> Iterator[None]:
    """Sample with one thread, so that a seed stands for one sample."""
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        yield
    finally:
        torch.set_num_threads(before)
