"""Training, validation and test structures of a data set."""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sognet.data.split_statistics import Statistics
from sognet.data.structure import Structure, is_isolated_atom
from sognet.errors import InputError

TRAINING_DEFAULTS: dict[str, Any] = {"val_fraction": 0.1, "test_fraction": 0.1, "partial_labels": False}
EVALUATION_DEFAULTS: dict[str, Any] = {"val_fraction": 0.0, "test_fraction": 0.0, "partial_labels": True}
"""Values of settings of a data set that are null."""


class TooFewStructuresError(InputError):
    """A split leaves nothing to train on."""


@dataclass
class Splits:
    """Structures of a data set by split; `name` goes into tables and file names.

    `weights` (n_train,) says how often each training structure appears in an epoch, None for once each; `skipped`
    holds the reasons why structures were left out.
    """

    name: str
    train: Sequence[Structure] = field(default_factory=list)
    val: Sequence[Structure] = field(default_factory=list)
    test: Sequence[Structure] = field(default_factory=list)
    statistics: Statistics | None = None  # of the training split, where they are known without reading it
    weights: np.ndarray | None = None
    skipped: list[str] = field(default_factory=list)

    def __iter__(self):
        """Pairs of the split's name and its structures, the empty ones left out."""
        return ((k, s) for k in ("train", "val", "test") if (s := getattr(self, k)))


def fill_defaults(dataset: MutableMapping[str, Any]) -> None:
    """What training takes where the settings of a data set leave it open: a tenth is split off, no label is missing."""
    for name, value in TRAINING_DEFAULTS.items():
        if name in dataset and dataset[name] is None:
            dataset[name] = value


def split_off(
    structures: list[Structure], val_fraction: float, test_fraction: float, seed: int, val_seed: int | None = None
) -> tuple[list[Structure], list[Structure], list[Structure]]:
    """Random training, validation and test parts, each in the order of the input; fractions are rounded to numbers.

    With `val_seed` the validation part is drawn anew from what the test part, which does not change, leaves. An element
    that has isolated atoms keeps one of them in the training part: it changes places with another structure.

    Raises
    ------
    InputError : fractions that are not within [0, 1).
    TooFewStructuresError : fractions that leave nothing to train on.
    """
    fractions = {"dataset.val_fraction": val_fraction, "dataset.test_fraction": test_fraction}
    for name, fraction in fractions.items():
        if not 0 <= fraction < 1:
            raise InputError(f"{name} must lie within 0 and 1, got {fraction}")
    n = len(structures)
    n_val, n_test = (max(1, round(f * n)) if f > 0 else 0 for f in fractions.values())
    if n_val + n_test >= n:
        raise TooFewStructuresError(
            f"{n} structures leave none to train on after {n_val} for validation and {n_test} for the test; "
            "lower dataset.val_fraction or dataset.test_fraction, or give more structures"
        )
    order = np.random.default_rng(seed).permutation(n)
    atoms = {i: int(s.numbers[0]) for i, s in enumerate(structures) if is_isolated_atom(s)}
    _keep_isolated_atoms(order, n_val + n_test, n_val + n_test, atoms)
    if val_seed is not None:
        test = order[n_val : n_val + n_test]
        rest = np.random.default_rng(val_seed).permutation(np.setdiff1d(order, test))
        order = np.concatenate([rest[:n_val], test, rest[n_val:]])
        _keep_isolated_atoms(order, n_val, n_val + n_test, atoms)
    parts = np.sort(order[n_val + n_test :]), np.sort(order[:n_val]), np.sort(order[n_val : n_val + n_test])
    return tuple([structures[i] for i in part] for part in parts)


def _keep_isolated_atoms(order: np.ndarray, n_movable: int, n_held: int, atoms: Mapping[int, int]) -> None:
    """Give the training part, which follows the first n_held of the order, an isolated atom of each element, in place.

    Parameters
    ----------
    order : numbers of structures.
    n_movable : how many of the order, from the first on, may go to the training part.
    n_held : validation and test part.
    atoms : elements of isolated atoms by the number of the structure.
    """
    for element in sorted(set(atoms.values())):
        of_element = [k for k, i in enumerate(order.tolist()) if atoms.get(i) == element]
        others = [k for k in range(n_held, len(order)) if int(order[k]) not in atoms]
        if of_element[-1] < n_held and of_element[0] < n_movable and others:
            pair = [of_element[0], others[0]]
            order[pair] = order[pair[::-1]]


def epoch_indices(weights: np.ndarray, epoch: int, seed: int) -> np.ndarray:
    """Numbers of the structures of an epoch, each as often as its weight says, in random order.

    The whole part of a weight is how often a structure appears in every epoch; of structures with the same fractional
    part f, a share f appears once more, in turn: over 1/f epochs each of them once. Every epoch has the same length.

    Parameters
    ----------
    weights : (n,), positive.
    epoch : from 0.
    seed : of the order and the turns.
    """
    whole = np.floor(weights).astype(int)
    fraction = weights - whole
    picked = [np.repeat(np.arange(len(weights)), whole)]
    for share in np.unique(fraction[fraction > 0]):
        members = np.random.default_rng(seed).permutation(np.flatnonzero(fraction == share))
        n = max(1, round(share * len(members)))
        picked.append(members[(epoch * n + np.arange(n)) % len(members)])
    return np.random.default_rng([seed, epoch]).permutation(np.concatenate(picked))
