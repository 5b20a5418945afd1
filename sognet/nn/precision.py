"""Constants that must keep double precision in a single-precision model."""

from collections.abc import Callable
from typing import Self

import torch
from torch import nn

FAR = 100.0
"""Å from the origin, beyond which single precision would cost forces their fifth digit."""


class DoubleBuffers(nn.Module):
    """A module whose double-precision buffers stay so through .float(), .half() and .to(dtype)."""

    def _apply(self, fn: Callable, recurse: bool = True) -> Self:
        doubles = {name: b for name, b in self.named_buffers(recurse=False) if b.dtype == torch.float64}
        super()._apply(fn, recurse)
        for name, buffer in doubles.items():
            setattr(self, name, buffer.to(getattr(self, name).device))
        return self
