"""A weighted mixture of several sources: `dataset=mixture`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sognet.data.datasets.files import from_files
from sognet.data.splits import Splits
from sognet.errors import InputError


def mixture(
    sources: Mapping[str, Mapping[str, Any]] | None,
    val_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
    partial_labels: bool = True,
) -> Splits:
    """Structures of several sources, each split by itself and weighted in training.

    Parameters
    ----------
    sources : by name, what from_files takes (path, keys, units, …) and `weight`, 1 by default: how often a structure
        of this source appears in an epoch of training. With 2 every one is seen twice; with 0.25 one in four is, in
        turn, so that all are seen within four epochs. Validation and test count every structure once.
    val_fraction, test_fraction, seed : of the random splits, for sources that do not name their own.
    partial_labels : of from_files, for sources that do not say it themselves.

    Raises
    ------
    InputError : no sources, an unknown setting, or a weight that is not positive; names the source.
    """
    if not sources:
        raise InputError("dataset=mixture needs dataset.sources={name: {path: <file>, weight: 1}, ...}")
    common = {
        "val_fraction": val_fraction,
        "test_fraction": test_fraction,
        "seed": seed,
        "partial_labels": partial_labels,
    }
    mixed, weights = Splits("+".join(sources)), []
    for name, settings in sources.items():
        settings = dict(settings)
        weight = settings.pop("weight", 1.0)
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < np.inf:
            raise InputError(f"dataset.sources.{name}.weight must be a positive number, got {weight!r}")
        try:
            part = from_files(**{"path": None} | common | settings)
        except TypeError as error:
            raise InputError(f"dataset.sources.{name}: {str(error).removeprefix('from_files() ')}") from None
        except InputError as error:
            raise InputError(f"dataset.sources.{name}: {error}") from error
        for split in ("train", "val", "test"):
            getattr(mixed, split).extend(getattr(part, split))
        mixed.skipped.extend(part.skipped)
        weights += [float(weight)] * len(part.train)
    if len(set(weights)) > 1 or weights[:1] != [1.0]:
        mixed.weights = np.array(weights)
    return mixed
