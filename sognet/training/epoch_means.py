"""Means over the batches of an epoch, added up where the model is and shared by all ranks once at its end."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor


class EpochMeans:
    """Means of values by name, each batch weighted by its number of structures.

    Lightning's `log` does the same at the cost of a tenth of a training step of a small structure.
    """

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, values: Mapping[str, Tensor], n: int) -> None:
        """Add the values of a batch of n structures, whose gradients are left out."""
        for name, value in values.items():
            weighted = n * value.detach().double()
            self.sums[name] = self.sums[name] + weighted if name in self.sums else weighted
            self.counts[name] = self.counts.get(name, 0) + n

    def compute(self, reduce: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        """Means by name; `reduce` adds a tensor up over the ranks, which have the same names."""
        if not self.sums:
            return {}
        sums = torch.stack(list(self.sums.values()))
        counts = torch.tensor(list(self.counts.values()), dtype=sums.dtype, device=sums.device)
        sums, counts = reduce(torch.stack([sums, counts]))
        return dict(zip(self.sums, sums / counts, strict=True))
