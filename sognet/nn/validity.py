"""Conditions on values of tensors, which only a CPU can raise an error for without waiting."""

import torch
from torch import Tensor


def nan_unless(condition: Tensor, values: Tensor, message: str) -> Tensor:
    """Values whose derivatives are NaN as well where the condition (scalar bool) does not hold.

    Raises
    ------
    ValueError : on the CPU, outside of what is compiled or vectorized, with the message.
    """
    if condition.device.type == "cpu" and not torch.compiler.is_compiling() and not _is_batched(condition):
        if not condition:
            raise ValueError(message)
        return values
    return values * torch.where(condition, 1.0, torch.nan).to(values.dtype)


def _is_batched(tensor: Tensor) -> bool:
    """Whether torch.vmap has several values for it."""
    return torch._C._functorch.is_batchedtensor(tensor)
