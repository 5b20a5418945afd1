"""Self-contained, safe checkpoints: a model's description and weights, loaded without running anything in the file."""

import pickle
from pathlib import Path
from typing import Any

import torch

from sognet.errors import InputError
from sognet.model.description import describe, rebuild
from sognet.model.sognet import SOGNet

FORMAT = 1
"""Version of what `model_entry` writes."""

PREFIX = "model."
"""Prefix of the model's weights in a training checkpoint."""


def model_entry(model: SOGNet) -> dict[str, Any]:
    """What a checkpoint holds of a model beside the weights: plain values only."""
    return {"format": FORMAT, "model": describe(model), "dtype": str(next(model.parameters()).dtype)}


def load_model(path: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype | None = None) -> SOGNet:
    """Trained model of a checkpoint, in evaluation mode.

    Parameters
    ----------
    path : checkpoint of a run, `checkpoints/best.ckpt`.
    device : where to put the model.
    dtype : torch.float32 or torch.float64; by default the one it was trained in.

    Raises
    ------
    InputError : no such file, not a checkpoint of sognet, of another version, or broken.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(f"{path}: refused, the file holds more than plain values and tensors") from error
    except Exception as error:  # zip, end-of-file and format errors of torch.load
        raise InputError(f"{path}: not a readable checkpoint, it may be truncated") from error
    entry = checkpoint.get("sognet") if isinstance(checkpoint, dict) else None
    if not isinstance(entry, dict) or not isinstance(checkpoint.get("state_dict"), dict):
        raise InputError(f"{path}: not a checkpoint of sognet (its `sognet` entry is missing)")
    if entry.get("format") != FORMAT:
        raise InputError(
            f"{path}: written in format {entry.get('format')}, this version reads format {FORMAT}; "
            "use the version of sognet that wrote it"
        )
    try:
        model = rebuild(entry.get("model"))
        if not isinstance(model, SOGNet):
            raise InputError("the description is not that of a whole model")
        trained = {"torch.float32": torch.float32, "torch.float64": torch.float64}.get(
            entry.get("dtype"), torch.float32
        )
        weights = {k[len(PREFIX) :]: v for k, v in checkpoint["state_dict"].items() if str(k).startswith(PREFIX)}
        model.to(trained).load_state_dict(weights)
    except (InputError, RuntimeError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: {reason[:300]}") from error
    return model.to(device=device, dtype=dtype or trained).eval()
