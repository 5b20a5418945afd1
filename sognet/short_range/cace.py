"""The Cartesian atomic cluster expansion ([CACE] B. Cheng, npj Comput. Mater. 10, 157 (2024)).

A_i,n,l,c = Σ_j T_c(z_j, z_i) R_nlc(r_ij) x^lx y^ly z^lz of the unit vector from i to j, and invariant products of them.
The channels c = (s, t) pair an embedding of the sender with one of the receiver, T_st = a_s(z_j) b_t(z_i), and the
radial functions are mixed out of a few, R_nlc = Σ_b W_nlcb B_b. Neither the receiver's embedding nor the mixing depends
on the neighbour, so the sum over neighbours needs only a_s(z_j) B_b(r_ij) x^lx y^ly z^lz; both come after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from sognet.nn.radial import BesselFunctions, polynomial_cutoff
from sognet.short_range.angular import Invariants, Monomials
from sognet.short_range.edges import EdgeLayout, SpeciesIndex, edge_vectors
from sognet.short_range.message_passing import MESSAGES, MessagePassing

LARGEST_ORDER = 10
"""The number of invariants grows steeply with the order; published models end at 4."""


@dataclass(frozen=True)
class EdgeBasis:
    """Radial and angular functions of the edges of each atom, in slots that are 0 where there is no neighbour."""

    bessel: Tensor  # (N, n_max, n_bessel)
    angular: Tensor  # (N, n_max, n_monomials)
    neighbour: Tensor  # (N, n_max), atom in each slot


class CACE(nn.Module):
    """Invariant descriptor of the atoms around each atom.

    Parameters
    ----------
    species : chemical symbols the model knows.
    cutoff : Å.
    n_bessel : trainable Bessel functions.
    n_radial : radial functions that are mixed from them, with weights of their own for each order and channel.
    l_max : largest order of the monomials.
    nu_max : largest number of neighbour sums in a product, 1 to 4.
    n_embedding : length of the embedding of the sender and of the receiver; channels are their pairs.
    n_message_passing : 0 or more layers; the invariants of each are appended.
    messages : which terms a layer adds up: "memory", the atom's own sums; "decay", those of its neighbours, decaying
        with distance; "network", the edge basis weighted by a network of the sender's invariants.
    message_hidden : hidden widths of that network; none: a linear function.
    cutoff_power : p of the polynomial cutoff, 2 or more.
    orthogonal_embeddings : start from embeddings that are orthogonal to each other and of equal length, as far as their
        length allows, instead of normally distributed ones, of which two can be almost parallel: their elements look
        alike then until training has told them apart.

    Raises
    ------
    ValueError : a number out of range, unknown messages.
    """

    def __init__(
        self,
        species: list[str],
        cutoff: float,
        n_bessel: int = 6,
        n_radial: int = 12,
        l_max: int = 3,
        nu_max: int = 3,
        n_embedding: int = 3,
        n_message_passing: int = 0,
        orthogonal_embeddings: bool = False,
        messages: Sequence[str] = MESSAGES,
        message_hidden: Sequence[int] = (24,),
        cutoff_power: int = 6,
    ) -> None:
        super().__init__()
        if min(n_bessel, n_radial, n_embedding) < 1 or n_message_passing < 0 or cutoff <= 0:
            raise ValueError(
                "need n_bessel, n_radial, n_embedding >= 1, n_message_passing >= 0 and cutoff > 0, got "
                f"{n_bessel}, {n_radial}, {n_embedding}, {n_message_passing}, {cutoff}"
            )
        if not 0 <= l_max <= LARGEST_ORDER:
            raise ValueError(f"l_max must lie within 0 and {LARGEST_ORDER}, got {l_max}")
        if int(cutoff_power) != cutoff_power or cutoff_power < 2:
            raise ValueError(f"cutoff_power must be a whole number from 2, got {cutoff_power}")
        if not messages or not set(messages) <= set(MESSAGES):
            raise ValueError(f"messages must be some of {', '.join(MESSAGES)}, got {list(messages)}")
        self.species = list(species)
        self.cutoff = cutoff
        self.cutoff_power = int(cutoff_power)
        self.messages = list(messages)
        self.message_hidden = list(message_hidden)
        self.n_bessel = n_bessel
        self.n_radial = n_radial
        self.l_max = l_max
        self.nu_max = nu_max
        self.n_embedding = n_embedding
        self.n_message_passing = n_message_passing
        self.orthogonal_embeddings = orthogonal_embeddings
        self.species_index = SpeciesIndex(self.species)
        self.sender = nn.Parameter(torch.randn(len(species), n_embedding))
        self.receiver = nn.Parameter(torch.randn(len(species), n_embedding))
        if orthogonal_embeddings:  # of the same mean square
            for embedding in (self.sender, self.receiver):
                nn.init.orthogonal_(embedding, gain=max(embedding.shape) ** 0.5)
        self.bessel = BesselFunctions(n_bessel, cutoff)
        self.monomials = Monomials(l_max)
        self.invariants = Invariants(self.monomials.indices, nu_max)
        # mixing of the radial functions by order l, sender channel s, receiver channel t
        mixing = torch.randn(l_max + 1, n_embedding, n_bessel, n_embedding, n_radial) / n_bessel**0.5
        self.mixing = nn.Parameter(mixing)
        self.layers = nn.ModuleList(
            MessagePassing(
                self.monomials.orders, n_radial, n_embedding**2, self.n_features_per_layer, message_hidden, messages
            )
            for _ in range(n_message_passing)
        )

    @property
    def n_features_per_layer(self) -> int:
        """Invariants of one layer per atom."""
        return self.n_radial * self.invariants.n_invariants * self.n_embedding**2

    @property
    def n_features(self) -> int:
        """Features per atom."""
        return self.n_features_per_layer * (self.n_message_passing + 1)

    def plan(self, graph: Data) -> EdgeLayout:
        """What a forward pass needs of the edges and elements of a graph."""
        return EdgeLayout.of(graph, self.species_index, any(layer.strength is not None for layer in self.layers))

    def forward(self, graph: Data, plan: EdgeLayout | None = None) -> Tensor:
        """Descriptor of each atom, (N, n_features), dimensionless; the plan is by default made here."""
        plan = plan or self.plan(graph)
        species, slots = plan.species, plan.slots
        if graph.edge_index.shape[1] == 0:
            return graph.pos.new_zeros(len(species), self.n_features)
        vectors = edge_vectors(graph)
        distance = vectors.square().sum(1).sqrt()
        filled = plan.filled[..., None].to(distance.dtype)
        envelope = polynomial_cutoff(distance, self.cutoff, self.cutoff_power)
        bessel = self.bessel(distance, envelope).index_select(0, slots.flatten()).reshape(*slots.shape, -1) * filled
        angular = self.monomials(vectors / distance[:, None]).index_select(0, slots.flatten())
        basis = EdgeBasis(bessel, angular.reshape(*slots.shape, -1), graph.edge_index[0][slots])
        sender = self.sender.index_select(0, species)  # (N, S)
        receiver = self.receiver.T.index_select(1, species)  # (T, N)
        sums = self._mix(self._neighbour_sums(basis, sender), receiver)
        features = [self._features(sums)]
        for layer in self.layers:
            updated = layer(sums.flatten(1, 2), distance / self.cutoff, envelope, graph, plan.pairs).reshape(sums.shape)
            if layer.network is not None:
                weights = layer.weights(features[-1]).unflatten(2, (self.n_embedding, self.n_embedding))
                updated = updated + self._mix(self._weighted_sums(basis, weights * sender[:, None, :, None]), receiver)
            sums = updated
            features.append(self._features(sums))
        return torch.cat(features, dim=1) if len(features) > 1 else features[0]

    def _neighbour_sums(self, basis: EdgeBasis, sender: Tensor) -> Tensor:
        """Σ_j a_s(z_j) B_b(r_ij) x^lx y^ly z^lz, (n_monomials, S, n_bessel, N)."""
        weights = sender.index_select(0, basis.neighbour.flatten()).reshape(*basis.neighbour.shape, -1)
        radial = (weights[..., :, None] * basis.bessel[..., None, :]).flatten(2)  # (N, n_max, S·n_bessel)
        summed = _with_contiguous_gradient(torch.bmm(basis.angular.mT, radial))  # (N, n_monomials, S·n_bessel)
        return summed.permute(1, 2, 0).unflatten(1, (self.n_embedding, self.n_bessel))

    def _weighted_sums(self, basis: EdgeBasis, weights: Tensor) -> Tensor:
        """The same with weights (N, l_max+1, S, T) of the sender: (n_monomials, S, T, n_bessel, N)."""
        # (N, n_max, n_monomials·n_bessel), orders l one after the other
        edges = (basis.angular[..., :, None] * basis.bessel[..., None, :]).flatten(2)
        weights = weights.flatten(2).index_select(0, basis.neighbour.flatten()).unflatten(0, basis.neighbour.shape)
        members = edges.split([self.n_bessel * count for count in self.monomials.counts], dim=2)
        summed = [torch.bmm(m.mT, w) for m, w in zip(members, weights.unbind(2), strict=True)]
        summed = _with_contiguous_gradient(torch.cat(summed, dim=1))  # (N, n_monomials·n_bessel, S·T)
        summed = summed.unflatten(1, (-1, self.n_bessel)).permute(1, 3, 2, 0)
        return summed.unflatten(1, (self.n_embedding, self.n_embedding))

    def _mix(self, summed: Tensor, receiver: Tensor) -> Tensor:
        """A, (n_monomials, S, T, n_radial, N), of neighbour sums of Bessel functions (n_monomials, S, n_bessel, N), the
        same for each T, or (n_monomials, S, T, n_bessel, N).
        """
        mixing = self.mixing.index_select(0, self.monomials.orders)  # (n_monomials, S, n_bessel, T, n_radial)
        if summed.ndim == 4:
            mixed = torch.bmm(mixing.flatten(3).flatten(0, 1).mT, summed.flatten(0, 1))
        else:
            mixed = torch.bmm(mixing.permute(0, 1, 3, 4, 2).flatten(0, 2), summed.flatten(0, 2))
        shape = len(mixing), self.n_embedding, self.n_embedding, self.n_radial, -1
        return mixed.reshape(shape) * receiver[:, None]

    def _features(self, sums: Tensor) -> Tensor:
        """Invariants of A as (N, n_features_per_layer)."""
        return self.invariants(sums).flatten(0, -2).T


def _with_contiguous_gradient(x: Tensor) -> Tensor:
    """A tensor as it is; a compiler lays out gradients itself."""
    return x if torch.compiler.is_compiling() else _ContiguousGradient.apply(x)


class _ContiguousGradient(torch.autograd.Function):
    """Identity whose gradient is laid out densely: a batched product of strided matrices runs one by one."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad.contiguous()
