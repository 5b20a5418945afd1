"""Structures that are periodic along some directions only, for long-range layers that cannot sum them."""

import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from sognet.data.structure import Structure
from sognet.errors import InputError

if TYPE_CHECKING:
    from sognet.data.splits import Splits
    from sognet.data.streaming.sharded import ShardedStructures

logger = logging.getLogger(__name__)


def refused(structures: Iterable[Structure]) -> Iterator[str | None]:
    """Of each structure why a model with this layer cannot take it, None where it can."""
    for structure in structures:
        if structure.pbc.all() == structure.pbc.any():
            yield None
            continue
        directions = " ".join("FT"[int(p)] for p in structure.pbc)
        yield (
            f"{structure.source}: periodic along some directions only (pbc = {directions}), which this long "
            "range cannot sum; set dataset.pbc=[true,true,true] to repeat it in all three, with enough vacuum, or take "
            "model/long_range=none"
        )


def check_slabs(structures: Iterable[Structure]) -> None:
    """Raise an InputError, by file and frame, at the first structure that a model with this layer cannot take."""
    if (reason := next(filter(None, refused(structures)), None)) is not None:
        raise InputError(reason)


def _check_prepared(split: str, structures: "ShardedStructures") -> None:
    """Raise an InputError where a prepared split has structures that a model with this layer cannot take."""
    if structures.slabs is None:
        check_slabs(structures)
    elif structures.slabs["structures"]:
        raise InputError(
            f"{structures.slabs['first']}: periodic along some directions only, the first of "
            f"{structures.slabs['structures']} in the {split} split, which the long range cannot sum; prepare the data "
            "set again with dataset.pbc=[true,true,true] to repeat them in all three, with enough vacuum, or take "
            "model/long_range=none"
        )


def leave_out_slabs(splits: "Splits", skip: bool) -> None:
    """Take the structures that a model with this layer cannot take out of the splits, in place; prepared ones are
    refused.

    Parameters
    ----------
    splits : prepared ones know it without being read, unless an earlier version has prepared them.
    skip : leave them out, named in the log and in `splits.skipped`, instead of raising.

    Raises
    ------
    InputError : the first one, without `skip`; or nothing is left to train on.
    """
    from sognet.data.streaming.sharded import ShardedStructures  # which a calculator need not load

    for split, structures in splits:
        if isinstance(structures, ShardedStructures):
            _check_prepared(split, structures)
            continue
        if not skip:
            check_slabs(structures)
            continue
        reasons = list(refused(structures))
        kept = [k for k, reason in enumerate(reasons) if reason is None]
        if len(kept) == len(structures):
            continue
        said = [reason for reason in reasons if reason is not None]
        logger.warning("skipped %d of the %s split, the first because of %s", len(said), split, said[0])
        splits.skipped.extend(said)
        if split == "train":
            if not kept:
                raise InputError(f"no structures left to train on: all were skipped, the first because of {said[0]}")
            splits.weights = None if splits.weights is None else np.asarray(splits.weights)[kept]
        setattr(splits, split, [structures[k] for k in kept])
