"""Which structures are in which split: kept in checkpoints, and compared where their run goes on or is evaluated."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from sognet.data.split_statistics import values_of
from sognet.data.splits import Splits
from sognet.data.structure import Structure
from sognet.errors import InputError

SPLITS = ("test", "val", "train")
"""A structure that several splits have belongs to the last of these."""


def identities(splits: Splits, read: Splits | None = None) -> dict[str, Tensor]:
    """Numbers (n,) that identify the structures of each split; empty where the data are streamed and not held.

    Parameters
    ----------
    splits : that a run uses.
    read : as the data set gave them, where the run puts structures elsewhere; those are kept as `read_train` and so on.
    """
    if splits.statistics is not None:
        return {}
    found = {name: torch.tensor([_identity(s) for s in getattr(splits, name)], dtype=torch.int64) for name in SPLITS}
    if read is None or read is splits:
        return found
    return found | {f"read_{name}": numbers for name, numbers in identities(read).items()}


def changes(splits: Splits, saved: Mapping[str, Tensor]) -> str:
    """How splits that are read today differ from those that the saved ones were made of, in words; empty where they do
    not or it is not known.
    """
    today = identities(splits)
    before = {name: saved.get(f"read_{name}", saved.get(name)) for name in today}
    if not saved or all(torch.equal(today[name], before[name]) for name in today):
        return ""
    return ", ".join(f"{name} {len(before[name])} → {len(today[name])}" for name in reversed(SPLITS))


def as_saved(splits: Splits, saved: Mapping[str, Tensor], new: str) -> Splits:
    """Splits in which every known structure is where it was saved, and those that are not known in the split `new`;
    the same where nothing is known, or all are there.

    Raises
    ------
    InputError : splits of a mixture, whose structures have weights.
    """
    today = identities(splits)
    if not saved or all(torch.equal(today[name], saved[name]) for name in today):
        return splits
    if splits.weights is not None:
        raise InputError(f"{splits.name}: a changed mixture cannot be put back into its splits; restore its files")
    home = {number: name for name in SPLITS for number in saved[name].tolist()}
    members: dict[str, list[Structure]] = {name: [] for name in SPLITS}
    for name, numbers in today.items():
        for structure, number in zip(getattr(splits, name), numbers.tolist(), strict=True):
            members[home.get(number, new)].append(structure)
    return replace(splits, **members)


def _identity(structure: Structure) -> int:
    digest = hashlib.blake2b(digest_size=8)
    for values in values_of(structure):
        digest.update(values)
    return int.from_bytes(digest.digest(), "little", signed=True)
