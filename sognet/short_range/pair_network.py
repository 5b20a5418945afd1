"""Embedding networks of a distance that depend on the species of the centre and of the neighbour."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from sognet.nn.perceptron import activation_named, skip_connection


class PairEmbedding(nn.Module):
    """Network of a scalar whose first layer has weights and biases for each ordered pair of species.

    The further layers, with skip connections where the width stays or doubles, are common to all pairs: that takes
    one matrix product per layer instead of one per pair, and lets rare pairs learn from frequent ones.

    Parameters
    ----------
    n_pairs : number of ordered pairs of species.
    widths : widths of the layers.
    activation : name of the activation.
    """

    def __init__(self, n_pairs: int, widths: Sequence[int], activation: str) -> None:
        super().__init__()
        self.activation = activation_named(activation)
        self.weight = nn.Parameter(torch.randn(n_pairs, widths[0]))
        self.bias = nn.Parameter(torch.randn(n_pairs, widths[0]))
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))

    def forward(self, x: Tensor, pair: Tensor) -> Tensor:
        """Scalars (E,) and the pair of species of each (E,) -> (E, widths[-1])."""
        weight, bias = self.weight.index_select(0, pair), self.bias.index_select(0, pair)
        x = self.activation(torch.addcmul(bias, x[:, None], weight))
        for layer in self.layers:
            y = self.activation(layer(x))
            skip = skip_connection(x, y.shape[-1])
            x = y if skip is None else y + skip
        return x
