"""What is different on a GPU, for tests that take the fixture `device`."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

NONDETERMINISM = {"cpu": 0.0, "cuda": 1e-10}
"""By how much gradients of the same function may differ, for gradcheck: sums on a GPU have no fixed order."""


@contextmanager
def no_waiting(device: str) -> Iterator[None]:
    """Within, it is an error where the host waits for the GPU."""
    if device == "cuda":
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        if device == "cuda":
            torch.cuda.set_sync_debug_mode("default")
