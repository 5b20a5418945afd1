"""Message passing between the neighbour sums of the Cartesian atomic cluster expansion ([CACE]).

A'_i = memory · A_i + Σ_j decay(r_ij) A_j + Σ_j network(B_j) χ_ij: a part of its own, the neighbours' sums that decay
with distance, and the edge basis χ weighted by what the sender's invariants B_j say. The layer gives the first two
and the weights of the third, which the descriptor sums up like the first neighbour sums.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from sognet.nn.perceptron import MLP
from sognet.short_range.edges import PairMatrix

MESSAGES = ("memory", "decay", "network")
"""The terms of a layer, in the order of the equation above."""

MATRIX_FROM = 0.2
"""Fill of the pair matrices above which sums over neighbours go by matrix products."""


FAR = 69.0
"""−ln of what a pair without an edge is taken to weigh, 1e-30."""


class MessagePassing(nn.Module):
    """One layer.

    Parameters
    ----------
    orders : (n_monomials,), order l of each monomial.
    n_radial, n_channels : sizes of the neighbour sums.
    n_features : invariants per atom.
    hidden : hidden widths of the network of the sender's invariants.
    messages : which of the three terms there are, some of MESSAGES.
    """

    orders: Tensor

    def __init__(
        self,
        orders: Tensor,
        n_radial: int,
        n_channels: int,
        n_features: int,
        hidden: Sequence[int] = (24,),
        messages: Sequence[str] = MESSAGES,
    ) -> None:
        super().__init__()
        self.register_buffer("orders", orders.clone(), persistent=False)
        self.counts = torch.bincount(orders).tolist()  # monomials of each order
        shape = (len(self.counts), n_channels, n_radial)
        decays = "decay" in messages
        self.memory = nn.Parameter(torch.full(shape, 0.25)) if "memory" in messages else None
        self.strength = nn.Parameter(0.1 * torch.randn(shape)) if decays else None  # a_lcn
        self.inverse_length = nn.Parameter(torch.ones(shape)) if decays else None  # r_c/r0_lcn
        self.network = MLP(n_features, hidden, shape[0] * n_channels, "silu") if "network" in messages else None

    def weights(self, invariants: Tensor) -> Tensor:
        """Weights of the edge basis by its sender: invariants (N, n_features) -> (N, l_max+1, n_channels)."""
        return self.network(invariants).unflatten(1, (len(self.counts), -1))

    def forward(self, sums: Tensor, reach: Tensor, envelope: Tensor, graph: Data, pairs: PairMatrix | None) -> Tensor:
        """Memory and decaying sums of the neighbours: A (n_monomials, n_channels, n_radial, N) -> the same shape,
        zero without both.

        Parameters
        ----------
        reach : lengths of the edges in units of the cutoff, (E,).
        envelope : cutoff function of the edges, (E,).
        pairs : pair matrices of the graph, needed for decaying messages.
        """
        updated = torch.zeros_like(sums)
        if self.memory is not None:
            updated = self.memory.index_select(0, self.orders)[..., None] * sums
        if self.strength is not None:
            loss = -torch.log(envelope.clamp(min=math.exp(-FAR)))
            if pairs.fill > MATRIX_FROM:
                decayed = self._by_matrices(sums, reach, loss, pairs)
            else:
                decayed = self._by_edges(sums, reach, loss, graph)
            updated = updated + self.strength.index_select(0, self.orders)[..., None] * decayed
        return updated

    def _by_edges(self, sums: Tensor, reach: Tensor, loss: Tensor, graph: Data) -> Tensor:
        """Σ_j exp(−r_ij/r0) f_cut(r_ij) A_j with f_cut = exp(−loss), edge by edge."""
        neighbour, centre = graph.edge_index
        shape = self.inverse_length.shape
        decay = _decayed(self.inverse_length.flatten(), reach[None], loss[None])[0].unflatten(0, shape)
        messages = decay.index_select(0, self.orders) * sums.index_select(-1, neighbour)
        return torch.zeros_like(sums).index_add(-1, centre, messages)

    def _by_matrices(self, sums: Tensor, reach: Tensor, loss: Tensor, pairs: PairMatrix) -> Tensor:
        """The same as products with matrices over the atoms of a structure, one for each l, c and n; orders l one by
        one, for padding their monomials to equal numbers doubles the work.
        """
        reach, loss = pairs.matrices(reach, 0.0), pairs.matrices(loss, FAR)
        own = pairs.pad(sums).permute(3, 1, 2, 0, 4).flatten(1, 2)  # (structures, C·R, n_monomials, n_atoms)
        decayed = []
        for rate, members in zip(self.inverse_length.unbind(), own.split(self.counts, dim=2), strict=True):
            decay = _decayed(rate.flatten(), reach.flatten(0, 1), loss.flatten(0, 1))
            if pairs.n_images > 1:
                decay = decay.unflatten(0, reach.shape[:2]).sum(0)  # (structures, C·R, n_atoms²)
            decayed.append(members @ decay.unflatten(-1, (pairs.n_atoms, pairs.n_atoms)))
        summed = torch.cat(decayed, dim=2).unflatten(1, sums.shape[1:3])
        return pairs.unpad(summed.permute(3, 1, 2, 0, 4))


def _decayed(rate: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """exp(−rate_k x − y): rates (K,), x and y (B, n) -> (B, K, n)."""
    if torch.compiler.is_compiling():  # which would differentiate the function below only once
        return torch.exp(-rate[:, None] * x[:, None] - y[:, None])
    return _Decay.apply(rate, x, y)


class _Decay(torch.autograd.Function):
    """The same with one product per derivative."""

    @staticmethod
    def forward(rate: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return torch.addcmul(-y[:, None], rate[:, None], x[:, None], value=-1).exp_()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        rate, x, _ = inputs
        ctx.save_for_backward(rate, x, output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rate, x, decay = ctx.saved_tensors
        grad = grad * decay
        factors = -torch.stack([rate, torch.ones_like(rate)]).expand(len(x), -1, -1)
        by_x, by_y = torch.bmm(factors, grad).unbind(1)
        by_rate = torch.bmm(x[:, None], grad.mT).sum((0, 1))
        return -by_rate, by_x, by_y
