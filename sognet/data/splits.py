"""Training, validation and test structures of a data set."""

from dataclasses import dataclass, field

import numpy as np

from sognet.data.structure import Structure
from sognet.errors import InputError


@dataclass
class Splits:
    """Structures of a data set by split; `name` goes into tables and file names."""

    name: str
    train: list[Structure] = field(default_factory=list)
    val: list[Structure] = field(default_factory=list)
    test: list[Structure] = field(default_factory=list)

    def __iter__(self):
        """Pairs of the split's name and its structures, the empty ones left out."""
        return ((k, s) for k in ("train", "val", "test") if (s := getattr(self, k)))


def split_off(
    structures: list[Structure], val_fraction: float, test_fraction: float, seed: int
) -> tuple[list[Structure], list[Structure], list[Structure]]:
    """Random training, validation and test parts, each in the order of the input; fractions are rounded to numbers.

    Raises
    ------
    InputError : fractions that are not within [0, 1), or that leave nothing to train on.
    """
    fractions = {"dataset.val_fraction": val_fraction, "dataset.test_fraction": test_fraction}
    for name, fraction in fractions.items():
        if not 0 <= fraction < 1:
            raise InputError(f"{name} must lie within 0 and 1, got {fraction}")
    n = len(structures)
    n_val, n_test = (max(1, round(f * n)) if f > 0 else 0 for f in fractions.values())
    if n_val + n_test >= n:
        raise InputError(
            f"{n} structures leave none to train on after {n_val} for validation and {n_test} for the test; "
            "lower dataset.val_fraction or dataset.test_fraction, or give more structures"
        )
    order = np.random.default_rng(seed).permutation(n)
    parts = np.sort(order[n_val + n_test :]), np.sort(order[:n_val]), np.sort(order[n_val : n_val + n_test])
    return tuple([structures[i] for i in part] for part in parts)
