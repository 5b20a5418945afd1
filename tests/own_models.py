"""What a user may bring: a descriptor, a model with energies, a long-range layer, a data set; not in the package."""

import torch
from ase.io import read
from torch import Tensor, nn

from sognet.data import Splits, read_structures, split_off
from sognet.interfaces import ShortRangeOutput


def distances(graph) -> Tensor:
    neighbour, centre = graph.edge_index
    shift = torch.einsum("ei,eij->ej", graph.cell_shift.to(graph.pos), graph.cell[graph.batch[centre]])
    return (graph.pos[neighbour] + shift - graph.pos[centre]).square().sum(1).sqrt()


def smooth(r: Tensor, cutoff: float) -> Tensor:
    return 0.5 * torch.cos(torch.pi * r / cutoff) + 0.5


class Radial(nn.Module):
    """Gaussians of the distances, weighted with the neighbour's atomic number; nothing to train."""

    def __init__(self, species, cutoff, width=4):
        super().__init__()
        self.species, self.cutoff, self.width, self.n_features = list(species), cutoff, width, 2 * width

    def forward(self, graph):
        r, (neighbour, centre) = distances(graph), graph.edge_index
        centres = torch.linspace(1.0, self.cutoff, self.width, dtype=r.dtype, device=r.device)
        values = torch.exp(-2 * (r[:, None] - centres) ** 2) * smooth(r, self.cutoff)[:, None]
        values = torch.cat([values, values * graph.z[neighbour, None] / 20], 1)
        return values.new_zeros(len(graph.z), self.n_features).index_add(0, centre, values)


class Repulsive(Radial):
    """The same with atomic energies ½ Σ_j A exp(−r) f(r) + E0 of its own, A trained."""

    def __init__(self, species, cutoff, width=4, strength=2.0, offset=0.0):
        super().__init__(species, cutoff, width)
        self.strength, self.offset = strength, offset
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, graph):
        r, (_, centre) = distances(graph), graph.edge_index
        pairs = 0.5 * self.strength * self.scale * torch.exp(-r) * smooth(r, self.cutoff)
        energy = pairs.new_zeros(len(graph.z)).index_add(0, centre, pairs) + self.offset
        return ShortRangeOutput(super().forward(graph), energy)


class Yukawa(nn.Module):
    """½ Σ_ij q_i·q_j exp(−κ r)/r of the nearest images, with a term of the loss and numbers to log; no kernel."""

    def __init__(self, strength=1.0, screening=0.5):
        super().__init__()
        self.strength, self.screening = strength, screening
        self.kappa = nn.Parameter(torch.tensor(screening))

    def forward(self, latent, positions, cell, pbc=None, batch=None):
        delta = positions[:, None] - positions[None, :]
        fractional = delta @ torch.linalg.inv(cell)[batch]
        delta = delta - (fractional.detach().round() * pbc[batch][:, None]) @ cell[batch]
        other = ~torch.eye(len(positions), dtype=torch.bool, device=positions.device)
        pairs = other & (batch[:, None] == batch[None, :])
        r = torch.where(pairs, delta.square().sum(-1), 1.0).sqrt()
        values = torch.where(pairs, (latent @ latent.mT) * torch.exp(-self.kappa * r) / r, 0.0)
        return latent.new_zeros(len(cell)).index_add(0, batch, 0.5 * self.strength * values.sum(1))

    def regularization(self):
        return {"screening": (self.kappa - self.screening).square()}

    def diagnostics(self, **_):
        return {"kappa": self.kappa.item()}


def own_set(path, n_test=2):
    structures = read_structures(path)
    train, val, test = split_off(structures[n_test:], 0.2, 0.0, seed=0)
    return Splits("own", train, val, structures[:n_test] + test)


def set_of_atoms(path):
    return Splits("atoms", read(path, ":"))


def no_set(path):
    return read_structures(path)
