"""Building a model from a stranger's settings within bounds of memory and time."""

import math
import time
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from sognet.errors import InputError

SECONDS = 20.0


class BoundedBuild(TorchDispatchMode):
    """Within this context no tensor is created that is larger than allowed, and none after the time is up.

    Parameters
    ----------
    n_elements : allowed in one tensor.
    seconds : until the next tensor operation is refused.
    """

    def __init__(self, n_elements: int, seconds: float = SECONDS) -> None:
        super().__init__()
        self.n_elements = n_elements
        self.end = time.monotonic() + seconds

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Look at the size before the tensor is made.

        Raises
        ------
        InputError : too large, or too late.
        """
        if time.monotonic() > self.end:
            raise InputError("its settings make a model that takes too long to build")
        if not any(isinstance(a, Tensor) for a in args):
            sizes = [math.prod(a) if isinstance(a, list | tuple) else a for a in args]
            if any(isinstance(size, int | float) and size > self.n_elements for size in sizes):
                raise InputError("its settings make a model that is larger than its weights")
        return function(*args, **(kwargs or {}))
