"""What adapters of other packages' models share: is the package there, in which version, and its files without code."""

import logging
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sognet.errors import InputError
from sognet.extras import require

logger = logging.getLogger(__name__)

ARRAYS = [
    np.ndarray,
    np.dtype,
    (np.empty(0).__reduce__()[0], "numpy.core.multiarray._reconstruct"),
    (np.empty(0).__reduce__()[0], "numpy._core.multiarray._reconstruct"),
    *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "?")),
]
"""What pickled arrays of numbers refer to, in NumPy 1 and 2."""


def release(module: str, distribution: str, extra: str, written_with: str | None = None) -> str:
    """Distribution and version of an installed package, `sevenn 0.13.0`.

    Parameters
    ----------
    module, distribution, extra : the names by which it is imported, installed, and installed with sognet.
    written_with : release that wrote what is read now; that it was another one is logged.

    Raises
    ------
    InputError : it is not installed.
    """
    require(module, extra)
    installed = f"{distribution} {version(distribution)}"
    if written_with is not None and written_with != installed:
        logger.warning(
            "the checkpoint was written with %s and is read with %s; if energies differ, install the former",
            written_with,
            installed,
        )
    return installed


def one_source(pretrained: str | None, checkpoint: str | Path | None) -> str | None:
    """Name or file of a trained model; None: from scratch.

    Raises
    ------
    InputError : both are given, or there is no such file.
    """
    if pretrained is not None and checkpoint is not None:
        raise InputError("set model.short_range.pretrained or model.short_range.checkpoint, not both")
    if checkpoint is not None and not Path(checkpoint).is_file():
        raise InputError(f"model.short_range.checkpoint={checkpoint}: no such file")
    return pretrained if checkpoint is None else str(checkpoint)


def say_own_cutoff(name: str, own: float, wanted: float | None) -> None:
    """Log that a trained model keeps its cutoff in Å."""
    if wanted is not None and wanted != own:
        logger.info("%s has a cutoff of %g Å of its own; model.short_range.cutoff=%g does not count", name, own, wanted)


@contextmanager
def without_code(path: str | Path):
    """Copy of a file of torch.save that holds numbers, strings, tensors and arrays only; read without running code.

    Raises
    ------
    InputError : it cannot be read, or holds anything else.
    """
    try:
        with torch.serialization.safe_globals(ARRAYS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of pickle, of zip files, of torch.load
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: not read, it holds more than numbers and tensors, or is broken ({reason})") from None
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / Path(path).name
        torch.save(content, copy)
        yield copy


def plain(value: Any) -> Any:
    """Arrays and tensors of numbers as lists, also within dictionaries and lists."""
    if isinstance(value, Tensor | np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: plain(content) for key, content in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(content) for content in value]
    return value
