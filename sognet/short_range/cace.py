"""The Cartesian atomic cluster expansion ([CACE] B. Cheng, npj Comput. Mater. 10, 157 (2024)).

A_i,n,l,c = Σ_j T_c(z_j, z_i) R_nlc(r_ij) x^lx y^ly z^lz of the unit vector from i to j, and invariant products of them.
The channels c = (s, t) pair an embedding of the sender with one of the receiver, T_st = a_s(z_j) b_t(z_i), and the
radial functions are mixed out of a few, R_nlc = Σ_b W_nlcb B_b. Neither the receiver's embedding nor the mixing depends
on the neighbour, so the sum over neighbours needs only a_s(z_j) B_b(r_ij) x^lx y^ly z^lz; both come after it.
"""

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from sognet.short_range.angular import Invariants, Monomials
from sognet.short_range.edges import SpeciesIndex, edge_vectors, neighbour_slots
from sognet.short_range.message_passing import MessagePassing
from sognet.short_range.radial import BesselFunctions


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

    Raises
    ------
    ValueError : a number out of range.
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
    ) -> None:
        super().__init__()
        if min(n_bessel, n_radial, n_embedding) < 1 or l_max < 0 or n_message_passing < 0 or cutoff <= 0:
            raise ValueError(
                "need n_bessel, n_radial, n_embedding >= 1, l_max, n_message_passing >= 0 and cutoff > 0, got "
                f"{n_bessel}, {n_radial}, {n_embedding}, {l_max}, {n_message_passing}, {cutoff}"
            )
        self.species = list(species)
        self.cutoff = cutoff
        self.n_bessel = n_bessel
        self.n_radial = n_radial
        self.l_max = l_max
        self.nu_max = nu_max
        self.n_embedding = n_embedding
        self.n_message_passing = n_message_passing
        self.species_index = SpeciesIndex(self.species)
        self.sender = nn.Parameter(torch.randn(len(species), n_embedding))
        self.receiver = nn.Parameter(torch.randn(len(species), n_embedding))
        self.bessel = BesselFunctions(n_bessel, cutoff)
        self.monomials = Monomials(l_max)
        self.invariants = Invariants(self.monomials.indices, nu_max)
        # mixing of the radial functions by order l, sender channel s, receiver channel t
        mixing = torch.randn(l_max + 1, n_embedding, n_bessel, n_radial, n_embedding) / n_bessel**0.5
        self.mixing = nn.Parameter(mixing)
        self.layers = nn.ModuleList(
            MessagePassing(self.monomials.orders, n_radial, n_embedding**2, self.n_features_per_layer, cutoff)
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

    def forward(self, graph: Data) -> Tensor:
        """Descriptor of each atom, (N, n_features), dimensionless."""
        species = self.species_index(graph.z)
        if graph.edge_index.shape[1] == 0:
            return graph.pos.new_zeros(len(species), self.n_features)
        vectors = edge_vectors(graph)
        distance = vectors.square().sum(1).sqrt()
        bessel = self.bessel(distance)  # (E, n_bessel)
        angular = self.monomials(vectors / distance[:, None])  # (E, n_monomials)
        slots, filled = neighbour_slots(graph)  # (N, n_max)
        sums = self._neighbour_sums(graph, species, bessel, angular, slots, filled)
        features = [self._features(sums)]
        for layer in self.layers:
            sums = layer(sums, features[-1], self._mixed(bessel, species, graph), distance, angular, graph)
            features.append(self._features(sums))
        return torch.cat(features, dim=1) if len(features) > 1 else features[0]

    def _neighbour_sums(
        self, graph: Data, species: Tensor, bessel: Tensor, angular: Tensor, slots: Tensor, filled: Tensor
    ) -> Tensor:
        """A, (n_monomials, N, n_radial, n_embedding, n_embedding) with sender channels before receiver channels."""
        sender = self.sender.index_select(0, species.index_select(0, graph.edge_index[0]))  # (E, S)
        radial = (sender[:, :, None] * bessel[:, None]).flatten(1)  # (E, S·n_bessel)
        flat = slots.flatten()
        radial = radial.index_select(0, flat).reshape(*slots.shape, -1) * filled[..., None].to(radial.dtype)
        angular = angular.index_select(0, flat).reshape(*slots.shape, -1)
        summed = torch.bmm(angular.mT, radial)  # (N, n_monomials, S·n_bessel)
        n_atoms, n_embedding = len(slots), self.n_embedding
        summed = summed.reshape(n_atoms, -1, self.n_bessel).transpose(0, 1)  # (n_monomials·S, N, n_bessel)
        mixing = self.mixing.index_select(0, self.monomials.orders).reshape(len(summed), self.n_bessel, -1)
        mixed = torch.bmm(summed, mixing)  # (n_monomials·S, N, n_radial·T)
        mixed = mixed.reshape(len(self.monomials), n_embedding, n_atoms, self.n_radial, n_embedding)
        receiver = self.receiver.index_select(0, species)  # (N, T)
        return mixed.permute(0, 2, 3, 1, 4) * receiver[:, None, None]

    def _features(self, sums: Tensor) -> Tensor:
        """Invariants of A as (N, n_features_per_layer)."""
        return self.invariants(sums.flatten(2)).transpose(0, 1).flatten(1)

    def _mixed(self, bessel: Tensor, species: Tensor, graph: Data) -> Tensor:
        """The edge basis without its angular part, T_st R_nlst: (E, l_max+1, n_radial, S, T)."""
        sender = self.sender.index_select(0, species.index_select(0, graph.edge_index[0]))
        receiver = self.receiver.index_select(0, species.index_select(0, graph.edge_index[1]))
        radial = torch.einsum("eb,lsbnt->elnst", bessel, self.mixing)
        return radial * sender[:, None, None, :, None] * receiver[:, None, None, None, :]
