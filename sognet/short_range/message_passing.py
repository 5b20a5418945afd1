"""Message passing between the neighbour sums of the Cartesian atomic cluster expansion ([CACE]).

A'_i = memory · A_i + Σ_j decay(r_ij) A_j + Σ_j network(B_j) χ_ij: a part of its own, the neighbours' sums that decay
with distance, and the edge basis χ weighted by what the sender's invariants B_j say. The layer gives the first two
and the weights of the third, which the descriptor sums up like the first neighbour sums.
"""

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from sognet.network import MLP
from sognet.short_range.angular import OrderBlocks
from sognet.short_range.edges import PairMatrix
from sognet.short_range.radial import polynomial_cutoff

MATRIX_FROM = 0.2
"""Fill of the pair matrices above which sums over neighbours go by matrix products."""


class MessagePassing(nn.Module):
    """One layer.

    Parameters
    ----------
    orders : (n_monomials,), order l of each monomial.
    n_radial, n_channels : sizes of the neighbour sums.
    n_features : invariants per atom.
    cutoff : Å.
    hidden : hidden widths of the network of the sender's invariants.
    """

    def __init__(
        self,
        orders: Tensor,
        n_radial: int,
        n_channels: int,
        n_features: int,
        cutoff: float,
        hidden: tuple[int, ...] = (24,),
    ) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.blocks = OrderBlocks(orders)
        shape = (self.blocks.shape[0], n_radial, n_channels)
        self.memory = nn.Parameter(torch.full(shape, 0.25))
        self.strength = nn.Parameter(0.1 * torch.randn(shape))  # a_lnc
        self.inverse_length = nn.Parameter(torch.ones(shape))  # r_c/r0_lnc
        self.network = MLP(n_features, hidden, shape[0] * n_channels, "silu")

    def weights(self, invariants: Tensor) -> Tensor:
        """Weights of the edge basis by its sender: invariants (N, n_features) -> (N, l_max+1, n_channels)."""
        return self.network(invariants).unflatten(1, (self.blocks.shape[0], -1))

    def forward(self, sums: Tensor, distance: Tensor, graph: Data, pairs: PairMatrix) -> Tensor:
        """Memory and decaying sums of the neighbours: A (n_monomials, N, n_radial, n_channels) -> the same shape.

        Parameters
        ----------
        distance : of the edges, (E,), Å.
        """
        memory = self.memory.index_select(0, self.blocks.orders)[:, None]
        strength = self.strength.index_select(0, self.blocks.orders)[:, None]
        if pairs.fill > MATRIX_FROM:
            decayed = self._by_matrices(sums, distance, pairs)
        else:
            decayed = self._by_edges(sums, distance, graph)
        return memory * sums + strength * decayed

    def _by_edges(self, sums: Tensor, distance: Tensor, graph: Data) -> Tensor:
        """Σ_j exp(−r_ij/r0) f_cut(r_ij) A_j, edge by edge."""
        neighbour, centre = graph.edge_index
        envelope = polynomial_cutoff(distance, self.cutoff)[:, None, None, None]
        reach = (distance / self.cutoff)[:, None, None, None]
        decay = envelope * torch.exp(-reach * self.inverse_length)  # (E, l_max+1, n_radial, n_channels)
        own = sums.transpose(0, 1)
        messages = decay.index_select(1, self.blocks.orders) * own.index_select(0, neighbour)
        return torch.zeros_like(own).index_add(0, centre, messages).transpose(0, 1)

    def _by_matrices(self, sums: Tensor, distance: Tensor, pairs: PairMatrix) -> Tensor:
        """The same as one product with a matrix over the atoms of a structure for each l, n and c."""
        reach = pairs.matrices(distance / self.cutoff)[:, :, None]
        envelope = pairs.matrices(polynomial_cutoff(distance, self.cutoff))[:, :, None]
        decay = envelope * torch.exp(-reach * self.inverse_length.reshape(-1, 1, 1))
        decay = decay.squeeze(0) if pairs.n_images == 1 else decay.sum(0)  # (structures, l·n·c, n_atoms, n_atoms)
        own = self.blocks.spread(sums)  # (l_max+1, members, N, n_radial, n_channels)
        own = pairs.pad(own.permute(2, 0, 3, 4, 1))  # (structures, n_atoms, l_max+1, n_radial, n_channels, members)
        summed = decay @ own.flatten(2, 4).transpose(1, 2)  # (structures, l·n·c, n_atoms, members)
        summed = pairs.unpad(summed.transpose(1, 2)).unflatten(1, self.memory.shape)
        return self.blocks.collect(summed.permute(1, 4, 0, 2, 3))
