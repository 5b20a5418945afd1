"""Message passing between the neighbour sums of the Cartesian atomic cluster expansion ([CACE]).

A'_i = memory · A_i + Σ_j [ decay(r_ij) A_j + network(B_j) χ_ij ]: a part of its own, the neighbours' sums that decay
with distance, and the edge basis χ weighted by what the sender's invariants B_j say.
"""

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from sognet.network import MLP
from sognet.short_range.radial import polynomial_cutoff


class MessagePassing(nn.Module):
    """One layer, from neighbour sums to neighbour sums.

    Parameters
    ----------
    orders : (n_monomials,), order l of each monomial.
    n_radial, n_channels : sizes of the neighbour sums.
    n_features : invariants per atom.
    cutoff : Å.
    hidden : hidden widths of the network of the sender's invariants.
    """

    orders: Tensor

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
        n_orders = int(orders.max()) + 1
        self.cutoff = cutoff
        self.n_channels = n_channels
        self.register_buffer("orders", orders.clone(), persistent=False)
        self.memory = nn.Parameter(torch.full((n_orders, n_radial, n_channels), 0.25))
        self.strength = nn.Parameter(0.1 * torch.randn(n_orders, n_radial, n_channels))  # a_lnc
        self.inverse_length = nn.Parameter(torch.full((n_orders, n_radial, n_channels), 1.0))  # r_c/r0_lnc
        self.network = MLP(n_features, hidden, n_orders * n_channels, "silu")

    def forward(
        self, sums: Tensor, invariants: Tensor, radial: Tensor, distance: Tensor, angular: Tensor, graph: Data
    ) -> Tensor:
        """New neighbour sums of the shape of `sums` (n_monomials, N, n_radial, S, T).

        Parameters
        ----------
        invariants : (N, n_features).
        radial : radial part of the edge basis, (E, l_max+1, n_radial, S, T).
        distance : (E,), Å.
        angular : (E, n_monomials).
        """
        neighbour, centre = graph.edge_index
        shape = sums.shape
        own = sums.flatten(3).transpose(0, 1)  # (N, n_monomials, n_radial, C)
        reach = distance[:, None, None, None] / self.cutoff * self.inverse_length
        envelope = polynomial_cutoff(distance, self.cutoff)[:, None, None, None]
        decay = self.strength * torch.exp(-reach) * envelope  # (E, l_max+1, n_radial, C)
        answer = self.network(invariants).reshape(len(invariants), -1, 1, self.n_channels)  # (N, l_max+1, 1, C)
        basis = radial.flatten(3) * answer.index_select(0, neighbour)
        messages = decay.index_select(1, self.orders) * own.index_select(0, neighbour)
        messages = messages + basis.index_select(1, self.orders) * angular[:, :, None, None]
        new = self.memory.index_select(0, self.orders) * own
        return new.index_add(0, centre, messages).transpose(0, 1).reshape(shape)
