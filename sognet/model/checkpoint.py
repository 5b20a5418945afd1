"""Self-contained, safe checkpoints: a model's description and weights, loaded without running anything in the file."""

import pickle
import reprlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from sognet.errors import InputError
from sognet.model.description import describe, rebuild
from sognet.model.sognet import SOGNet
from sognet.trust import trusted_names

FORMAT = 1
"""Version of what `model_entry` writes."""

BEST = "checkpoints/best.ckpt"
"""Where the folder of a run has the checkpoint that counts."""

PREFIX = "model."
"""Prefix of the model's weights in a training checkpoint."""


def model_entry(model: SOGNet) -> dict[str, Any]:
    """What a checkpoint holds of a model beside the weights: plain values only."""
    return {"format": FORMAT, "model": describe(model), "dtype": str(model.dtype)}


def load_model(
    path: str | Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | str | None = None,
    trust: str | Iterable[str] = (),
) -> SOGNet:
    """Trained model of a checkpoint, in evaluation mode.

    Parameters
    ----------
    path : checkpoint of a run, or the folder of a run, which stands for its `checkpoints/best.ckpt`.
    device : where to put the model; `auto`: on the GPU if there is one.
    dtype : torch.float32, torch.float64 or their names; by default the one it was trained in.
    trust : modules and packages outside this one whose classes may be built, which runs their code (sognet.trust).

    Raises
    ------
    InputError : no such file, not a checkpoint of sognet, of another version, or broken; a class that is not trusted;
        no such device or dtype.
    """
    with torch.inference_mode(False), torch.no_grad():
        return _load(checkpoint_of(path), as_device(device), as_dtype(dtype), trusted_names(trust))


def trained(checkpoint: str | Path | None, trust: str | Iterable[str] = ()) -> SOGNet:
    """The same for a configuration: `checkpoint` is that of `path`."""
    return load_model(checkpoint, trust=trust)


def checkpoint_of(path: str | Path) -> Path:
    """A checkpoint as it is; of the folder of a run its best one.

    Raises
    ------
    InputError : a folder without one.
    """
    path = Path(path)
    if path.is_dir():
        if not (path / BEST).is_file():
            raise InputError(f"{path}: a folder without {BEST}; name a checkpoint, or the folder of one run")
        return path / BEST
    return path


def as_dtype(dtype: torch.dtype | str | None) -> torch.dtype | None:
    """Precision of a name or of a torch.dtype; None stays None.

    Raises
    ------
    InputError : not single or double precision.
    """
    known = {"float32": torch.float32, "float64": torch.float64}
    if dtype is None or dtype in known.values():
        return dtype
    if dtype not in known:
        raise InputError(f"dtype must be float32 or float64, got {dtype!r}")
    return known[dtype]


def as_device(name: str | int | torch.device) -> torch.device:
    """Device of a name, checked to be here; of `auto` the GPU if there is one, else the CPU.

    Raises
    ------
    InputError : no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device={name}: not available here ({str(error).splitlines()[0]})") from None
    return device


def _load(path: Path, device: str | torch.device, dtype: torch.dtype | None, trust: list[str]) -> SOGNet:
    checkpoint = read_checkpoint(path)
    entry, state = checkpoint.get("sognet"), checkpoint.get("state_dict")
    if not isinstance(entry, dict) or not isinstance(state, dict):
        raise InputError(f"{path}: not a checkpoint of sognet (its `sognet` entry is missing)")
    if entry.get("format") != FORMAT:
        raise InputError(
            f"{path}: written in format {_shortened(entry.get('format'))}, this version reads format {FORMAT}; "
            "use the version of sognet that wrote it"
        )
    try:
        weights = {k[len(PREFIX) :]: v for k, v in state.items() if str(k).startswith(PREFIX)}
        model = rebuild(entry.get("model"), trust)
        if not isinstance(model, SOGNet):
            raise InputError("the description is not that of a whole model")
        trained = {"torch.float32": torch.float32, "torch.float64": torch.float64}.get(
            entry.get("dtype"), torch.float32
        )
        model.to(trained).load_state_dict(weights)
    except (InputError, RuntimeError, TypeError, AttributeError, MemoryError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: {reason[:300]}") from error
    return model.to(device=device, dtype=dtype or trained).eval()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Plain values and tensors of a checkpoint.

    Raises
    ------
    InputError : no such file, or it holds anything else.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(f"{path}: refused, the file holds more than plain values and tensors") from error
    except Exception as error:  # zip, end-of-file and format errors of torch.load
        raise InputError(f"{path}: not a readable checkpoint, it may be truncated") from error
    if not isinstance(checkpoint, dict):
        raise InputError(f"{path}: not a checkpoint of sognet")
    return checkpoint


def _shortened(value: Any) -> str:
    return reprlib.repr(value)[:80]
