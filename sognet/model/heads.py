"""Heads: networks from an atom's descriptor to its energy and to its latent variables."""

from collections.abc import Mapping, Sequence

import torch
from ase.data import atomic_numbers, chemical_symbols
from torch import Tensor, nn

from sognet.nn.perceptron import MLP


class Readout(nn.Module):
    """Network of an atom's features, with a linear bypass around the hidden layers where asked.

    Parameters
    ----------
    n_in, hidden, n_out : widths.
    activation : "tanh" or "silu".
    bias : whether the network and the bypass have biases.
    bypass : add a linear function of the features.
    residual : skip connections between hidden layers of the same width.
    """

    def __init__(
        self,
        n_in: int,
        hidden: Sequence[int],
        n_out: int,
        activation: str = "silu",
        bias: bool = True,
        bypass: bool = True,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.network = MLP(n_in, hidden, n_out, activation, bias, residual)
        self.bypass = nn.Linear(n_in, n_out, bias=bias) if bypass else None

    def forward(self, features: Tensor) -> Tensor:
        """(N, n_in) -> (N, n_out)."""
        out = self.network(features)
        return out if self.bypass is None else out + self.bypass(features)


class ElementLatents(nn.Module):
    """A trainable latent of each element, zero at first.

    Parameters
    ----------
    species : chemical symbols.
    n_latent : P.
    """

    row: Tensor

    def __init__(self, species: Sequence[str], n_latent: int) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.zeros(len(species), n_latent))
        self.register_buffer("row", _rows(species), persistent=False)

    def forward(self, z: Tensor) -> Tensor:
        """Atomic numbers (N,) -> latents (N, P)."""
        return self.values[self.row[z]]


class SpeciesColumns(nn.Module):
    """Latents in the columns of their atom's species: what layers with a kernel for every pair of species take.

    Parameters
    ----------
    species : chemical symbols, S of them.
    """

    row: Tensor

    def __init__(self, species: Sequence[str]) -> None:
        super().__init__()
        self.n_species = len(species)
        self.register_buffer("row", _rows(species), persistent=False)

    def forward(self, latent: Tensor, z: Tensor) -> Tensor:
        """Latents (N, P), atomic numbers (N,) -> latents (N, P·S), zero in the columns of other species."""
        own = self.row[z][:, None] == torch.arange(self.n_species, device=z.device)  # (N, S)
        return (latent[:, :, None] * own[:, None].to(latent.dtype)).flatten(1)


class FixedCharges(nn.Module):
    """Latent variables that are known: one number per species, in e, instead of a latent-variable network.

    Parameters
    ----------
    charges : charge in e of each chemical symbol.

    Raises
    ------
    ValueError : a symbol of no element.
    """

    lookup: Tensor

    def __init__(self, charges: Mapping[str, float]) -> None:
        super().__init__()
        if unknown := set(charges) - set(chemical_symbols[1:]):
            raise ValueError(f"charges are by chemical symbol, but {', '.join(sorted(unknown))} is none")
        self.charges = {s: float(q) for s, q in charges.items()}
        lookup = torch.full((len(chemical_symbols),), float("nan"))
        for symbol, charge in self.charges.items():
            lookup[atomic_numbers[symbol]] = charge
        self.register_buffer("lookup", lookup, persistent=False)

    def forward(self, z: Tensor) -> Tensor:
        """Atomic numbers (N,) -> latent variables (N, 1)."""
        return self.lookup.index_select(0, z)[:, None]


def _rows(species: Sequence[str]) -> Tensor:
    """Place of each element among the species, by its atomic number."""
    rows = torch.zeros(len(chemical_symbols), dtype=torch.long)
    for number, symbol in enumerate(species):
        rows[atomic_numbers[symbol]] = number
    return rows
