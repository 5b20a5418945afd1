"""Reference energies: the part of a total energy that the number of atoms of each element explains."""

from collections.abc import Mapping

import torch
from ase.data import atomic_numbers, chemical_symbols
from torch import Tensor

from sognet.nn.precision import DoubleBuffers


class ReferenceEnergies(DoubleBuffers):
    """Σ_i ε(z_i) in double precision: totals of 1e4–1e6 eV must not pass through single precision.

    Parameters
    ----------
    energies : energy in eV of each chemical symbol; others count zero.
    """

    table: Tensor

    def __init__(self, energies: Mapping[str, float]) -> None:
        super().__init__()
        table = torch.zeros(len(chemical_symbols), dtype=torch.float64)
        for symbol, energy in energies.items():
            table[atomic_numbers[symbol]] = energy
        self.register_buffer("table", table)

    @property
    def energies(self) -> dict[str, float]:
        """Energy in eV of each element whose energy is not zero."""
        return {chemical_symbols[z]: self.table[z].item() for z in self.table.nonzero()[:, 0].tolist()}

    def forward(self, z: Tensor, batch: Tensor, n_structures: int) -> Tensor:
        """Atomic numbers (N,) and structure of each atom (N,) -> (B,) in eV, double precision."""
        return self.table.new_zeros(n_structures).index_add(0, batch, self.table.index_select(0, z))
