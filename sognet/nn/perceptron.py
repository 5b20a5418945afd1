"""Multilayer perceptrons, for descriptors and heads."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


def tanh(x: Tensor) -> Tensor:
    """tanh(x) as 2σ(2x) − 1, which runs several times faster on a CPU than torch.tanh."""
    return 2 * torch.sigmoid(2 * x) - 1


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"tanh": tanh, "silu": nn.functional.silu}


def activation_named(name: str) -> Callable[[Tensor], Tensor]:
    """The activation function of that name.

    Raises
    ------
    ValueError : no such activation.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {name!r}")
    return ACTIVATIONS[name]


def skip_connection(x: Tensor, n_out: int) -> Tensor | None:
    """Input of a layer that is added to its output where the width stays (x) or doubles (x ⊕ x), as in DeepPot-SE."""
    if n_out == x.shape[-1]:
        return x
    if n_out == 2 * x.shape[-1]:
        return torch.cat([x, x], dim=-1)
    return None


class MLP(nn.Module):
    """Perceptron with hidden layers of the given widths and a linear output.

    Parameters
    ----------
    n_in, hidden, n_out : widths.
    activation : name of the activation of hidden layers.
    bias : whether layers have biases.
    residual : add the input of a hidden layer to its output where the width stays or doubles.
    """

    def __init__(
        self, n_in: int, hidden: Sequence[int], n_out: int, activation: str, bias: bool = True, residual: bool = False
    ) -> None:
        super().__init__()
        self.activation = activation_named(activation)
        self.residual = residual
        self.layers = nn.ModuleList(nn.Linear(a, b, bias=bias) for a, b in pairwise([n_in, *hidden, n_out]))

    def forward(self, x: Tensor) -> Tensor:
        """(..., n_in) -> (..., n_out)."""
        *hidden, last = self.layers
        for layer in hidden:
            y = self.activation(layer(x))
            skip = skip_connection(x, y.shape[-1]) if self.residual else None
            x = y if skip is None else y + skip
        return last(x)
