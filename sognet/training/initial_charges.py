"""Initial charges of the elements, from the training forces in closed form.

The energy of the long-range layer is quadratic in its latents. With one charge x_a for each element,

    E_LR = Σ_(a≤b) M_ab E_ab,   M_ab = x_a x_b,

where E_aa is the energy of latents that are one on the atoms of element a and zero elsewhere, and E_ab that of ones on
a and b less E_aa and E_bb. Its forces are linear in M, which is fitted by least squares together with Gaussian pair
functions for what is short-ranged. Eigenvectors of M times the roots of their eigenvalues are the charges. They are
kept only where the forces of structures left out of the fit ask for them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import torch
from ase.data import atomic_numbers
from torch import Tensor
from torch_geometric.data import Batch

from sognet.data import Structure
from sognet.data.graph import build_batch
from sognet.data.usual_sizes import with_usual_forces
from sognet.model import SOGNet

STRUCTURES = 40
"""Training structures that are fitted, evenly spaced, less those whose forces stand out."""

PAIR_FUNCTIONS = 10
"""Gaussians of the distance within the cutoff, for each pair of elements."""

RIDGE = 1e-3
"""Of the coefficients of columns of unit size, over the mean square of the forces."""

WORTH = 0.6
"""Share of the squared force that pair functions leave which charges must explain in structures left out.

Measured: clusters of ions 1.00, electrolyte 0.99 to 1.00; its screened control 0.35, an alloy 0.05, water and
dipeptides below 0.01, a metal slab and organic molecules below zero."""

SMALLEST, LARGEST = 0.05, 5.0
"""Charges (e) are believed where the largest is between these."""

NEGATIVE = ("F", "O", "Cl", "N", "Br", "I", "S", "Se", "C", "H")
"""The first of these that is there is the negative one: the energy does not tell the sign of all charges together."""


@dataclass
class ForceFit:
    """What forces say of charges."""

    fitted: Tensor  # (n_elements, P) in e
    explained: float  # of the squared force that pair functions leave in structures left out
    n_structures: int

    @property
    def charges(self) -> Tensor:
        """Charges (n_elements, P) in e, zero where the forces ask for none."""
        return self.fitted if self.explained > WORTH else torch.zeros_like(self.fitted)


def charges_from_forces(model: SOGNet, structures: Sequence[Structure]) -> ForceFit | None:
    """Charges that the long-range layer of a model needs for the forces of structures; None without forces to fit.

    Elements that are not in the structures have none.
    """
    candidates = structures[:: max(1, len(structures) // STRUCTURES)][:STRUCTURES]
    sample = with_usual_forces([s for s in candidates if s.forces is not None and len(s) > 1])
    if len(sample) < 2:
        return None
    symbols = [s for s in model.species if any(atomic_numbers[s] in structure.numbers for structure in sample)]
    columns, forces, owner = [], [], []
    for number, structure in enumerate(sample):
        graph = build_batch([structure], model.cutoff)
        forces.append(graph.forces.flatten())
        graph = graph.to(model.device)
        found = torch.cat([_long_range_columns(model, graph, symbols), _pair_columns(model, graph, symbols)])
        columns.append(found.flatten(1).T.cpu())
        owner.append(torch.full((forces[-1].numel(),), number))
    a, y, frame = torch.cat(columns).double(), torch.cat(forces).double(), torch.cat(owner)
    n_elements = len(symbols)
    pairs = list(combinations_with_replacement(range(n_elements), 2))
    explained = _explained(a, y, frame % 2 == 0, len(pairs))
    matrix = torch.zeros(n_elements, n_elements, dtype=torch.float64)
    for (i, j), value in zip(pairs, _least_squares(a, y)[: len(pairs)], strict=True):
        matrix[i, j] = matrix[j, i] = value
    fitted = torch.zeros(len(model.species), model.n_latent, dtype=torch.float64)
    fitted[[model.species.index(s) for s in symbols]] = _leading(matrix, model.n_latent, symbols)
    return ForceFit(fitted, explained, len(sample))


def _long_range_columns(model: SOGNet, graph: Batch, symbols: Sequence[str]) -> Tensor:
    """Forces (n_pairs, N, 3) of E_ab for all pairs of elements a ≤ b."""
    dtype = model.dtype
    numbers = torch.tensor([atomic_numbers[s] for s in symbols], device=graph.z.device)
    ones = (graph.z[:, None] == numbers).to(dtype)  # (N, n_elements)

    def forces(latent: Tensor) -> Tensor:
        positions = graph.pos.to(dtype).requires_grad_()
        latents = torch.nn.functional.pad(latent[:, None], (0, model.n_latent - 1))
        latents = model.long_range_latents(latents, graph.z)
        energy = model.long_range(latents, positions, graph.cell.to(dtype), graph.pbc, graph.batch)
        return -torch.autograd.grad(energy.sum(), positions)[0]

    with torch.enable_grad():
        single = [forces(ones[:, a]) for a in range(len(numbers))]
        found = [
            single[a] if a == b else forces(ones[:, a] + ones[:, b]) - single[a] - single[b]
            for a, b in combinations_with_replacement(range(len(numbers)), 2)
        ]
    return torch.stack(found).detach()


def _pair_columns(model: SOGNet, graph: Batch, symbols: Sequence[str]) -> Tensor:
    """Forces (n_pairs × PAIR_FUNCTIONS, N, 3) of Gaussians of the distance between atoms of two elements."""
    neighbour, centre = graph.edge_index
    vectors = graph.pos[neighbour] + graph.cell_shift.to(graph.pos) @ graph.cell[0] - graph.pos[centre]
    distance = vectors.norm(dim=1)
    width = model.cutoff / PAIR_FUNCTIONS
    middles = width * torch.arange(1, PAIR_FUNCTIONS + 1, dtype=distance.dtype, device=distance.device)
    x = (distance[:, None] - middles) / width
    inside = 0.5 * (1 + torch.cos(torch.pi * distance / model.cutoff))[:, None]
    slope_inside = -0.5 * torch.pi / model.cutoff * torch.sin(torch.pi * distance / model.cutoff)[:, None]
    gaussian = torch.exp(-0.5 * x * x)
    slopes = gaussian * (slope_inside - inside * x / width)  # (E, PAIR_FUNCTIONS)
    pulls = slopes[:, :, None] * (vectors / distance[:, None])[:, None]  # along the neighbour, on the centre
    columns = []
    for a, b in combinations_with_replacement([atomic_numbers[s] for s in symbols], 2):
        z_i, z_j = graph.z[centre], graph.z[neighbour]
        chosen = ((z_i == a) & (z_j == b)) | ((z_i == b) & (z_j == a))
        forces = distance.new_zeros(len(graph.z), PAIR_FUNCTIONS, 3)
        columns.append(forces.index_add(0, centre[chosen], pulls[chosen]).transpose(0, 1))
    return torch.cat(columns)


def _explained(a: Tensor, y: Tensor, fitted: Tensor, n_pairs: int) -> float:
    """Share of the squared force left by pair functions that charges explain in what was not fitted, both halves."""
    left = {"all": 0.0, "pairs": 0.0}
    for part in (fitted, ~fitted):
        if not part.any() or part.all():
            return 0.0
        left["all"] += (y[~part] - a[~part] @ _least_squares(a[part], y[part])).square().sum().item()
        short = a[:, n_pairs:]
        left["pairs"] += (y[~part] - short[~part] @ _least_squares(short[part], y[part])).square().sum().item()
    return 1 - left["all"] / left["pairs"] if left["pairs"] > 0 else 0.0


def _least_squares(a: Tensor, y: Tensor) -> Tensor:
    """Coefficients of columns, with a ridge on those of columns of unit size."""
    scale = a.square().mean(0).sqrt().clamp(min=1e-30) / y.square().mean().sqrt().clamp(min=1e-30)
    scaled = a / scale
    gram = scaled.T @ scaled / len(y)
    gram.diagonal().add_(RIDGE * y.square().mean())
    return torch.linalg.solve(gram, scaled.T @ y / len(y)) / scale


def _leading(matrix: Tensor, n_channels: int, species: Sequence[str]) -> Tensor:
    """Charges (n_elements, P) from their products: of the largest eigenvalues, none where they are small."""
    values, vectors = torch.linalg.eigh(matrix)
    charges = torch.zeros(len(matrix), n_channels, dtype=matrix.dtype)
    for channel in range(min(n_channels, len(values))):
        found = vectors[:, -1 - channel] * values[-1 - channel].clamp(min=0).sqrt()
        if SMALLEST < found.abs().max() < LARGEST:
            sign = next((found[species.index(s)].sign() for s in NEGATIVE if s in species), found[0].sign())
            charges[:, channel] = -found if sign > 0 else found
    return charges
