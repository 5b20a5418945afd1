"""Limit of the gradient by its usual size: structures with atoms too close have gradients many times larger, however
little their labels count in the loss, since the derivatives of the energy with respect to parameters are.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import Parameter

FEWEST = 5
"""Gradients that are known before the first one is shortened."""


class GradientLimit:
    """Shortens a gradient to a multiple of the median norm of the last ones.

    Parameters
    ----------
    times : of the median, longest gradient.
    memory : gradients that the median is of.
    """

    def __init__(self, times: float, memory: int = 100) -> None:
        if not times > 0:
            raise ValueError(f"module.gradient_limit must be positive or null, got {times}")
        self.times = times
        self.memory = memory
        self.norms: list[Tensor] = []  # of the last gradients, before they were shortened

    def __call__(self, parameters: Iterable[Parameter]) -> None:
        """Shorten the gradients of the parameters together; those that are not finite stay as they are."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if len(self.norms) >= FEWEST:
            longest = self.times * torch.stack([n.to(norm) for n in self.norms]).median()
            factor = torch.where(norm > longest, longest / norm, torch.ones_like(norm))
            torch._foreach_mul_(gradients, factor)
        self.norms = [*self.norms, norm][-self.memory :]

    def state(self) -> Tensor:
        """Norms of the last gradients, for a checkpoint."""
        return torch.stack(self.norms).cpu() if self.norms else torch.zeros(0)

    def load(self, state: Tensor) -> None:
        """Go on from those of a checkpoint."""
        self.norms = list(state)
