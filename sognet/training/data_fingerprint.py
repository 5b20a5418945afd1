"""Which structures a run was trained, validated and tested on: kept in its checkpoints, compared when it is resumed."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from sognet.data import Splits, Structure
from sognet.errors import InputError

SPLITS = ("train", "val", "test")


def fingerprint(splits: Splits) -> dict[str, Tensor]:
    """Numbers (n,) that identify the structures of each split; empty where the data are streamed and not held."""
    if splits.statistics is not None:
        return {}
    return {name: torch.tensor([_identity(s) for s in getattr(splits, name)], dtype=torch.int64) for name in SPLITS}


def same_data(splits: Splits, saved: Mapping[str, Tensor], accept: bool, folder: str) -> Splits:
    """Splits for a run that goes on: those of today where they are the saved ones.

    Where they are not and that is accepted, every structure that the run knows stays in its split, and those that it
    does not know are trained on.

    Raises
    ------
    InputError : the data have changed and that is not accepted, or cannot be.
    """
    today = fingerprint(splits)
    if not saved or not today or all(torch.equal(today[name], saved[name]) for name in SPLITS):
        return splits
    counts = ", ".join(f"{name} {len(saved[name])} → {len(today[name])}" for name in SPLITS)
    changed = f"resume={folder}: the data set is not the one that the run was started with (structures: {counts})"
    if not accept:
        raise InputError(
            f"{changed}; restore the file, or data_changed=accept to go on with every known structure in its split and "
            "new ones in training, or start_from=<checkpoint> to fine-tune on the new data"
        )
    if splits.weights is not None:
        raise InputError(f"{changed}; of a mixture, restore the files, or start_from=<checkpoint> to fine-tune")
    home = {number: name for name in SPLITS for number in saved[name].tolist()}
    members: dict[str, list[Structure]] = {name: [] for name in SPLITS}
    for name in SPLITS:
        for structure, number in zip(getattr(splits, name), today[name].tolist(), strict=True):
            members[home.get(number, "train")].append(structure)
    return replace(splits, **members)


def _identity(structure: Structure) -> int:
    """64 bits of what a structure is and of its reference values."""
    digest = hashlib.blake2b(digest_size=8)
    values = (structure.numbers, structure.positions, structure.cell, structure.pbc, structure.energy, structure.forces)
    for value in values:
        digest.update(b"-" if value is None else np.ascontiguousarray(value).tobytes())
    return int.from_bytes(digest.digest(), "little", signed=True)
