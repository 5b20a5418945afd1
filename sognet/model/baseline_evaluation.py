"""A model's baseline for the structures of a data set: each is evaluated once, and kept on disk from then on."""

import copy
import logging
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from sognet.data.baseline_cache import BaselineCache
from sognet.data.baseline_labels import BaselineLabels, geometry_key
from sognet.data.graph import build_batch
from sognet.data.splits import Splits
from sognet.data.structure import Structure, unknown_elements
from sognet.errors import InputError
from sognet.model.calculator_baseline import CalculatorBaseline
from sognet.model.sognet import SOGNet
from sognet.progress import tracked

logger = logging.getLogger(__name__)

ATOMS_AT_ONCE = 256
"""Atoms of structures that are evaluated together, unless one alone has more."""

KEPT_EVERY = 20.0
"""Seconds after which what was computed is written to disk."""


def evaluate_baseline(
    baseline: SOGNet | CalculatorBaseline | None,
    splits: Splits,
    root: str | Path | None = None,
    device: torch.device | None = None,
) -> None:
    """Give the structures of all splits what a baseline says of them, in place; nothing without one.

    It is computed in double precision, so that it serves models of either.

    Parameters
    ----------
    baseline, splits : that of a model; a data set in memory.
    root : folder of data sets (`paths.data`), which keeps the values; by default the user's cache.
    device : where to compute; by default where the baseline is.

    Raises
    ------
    InputError : streamed structures; an element that the baseline does not know, or energies or forces of it that are
        not finite, by file and frame.
    """
    if baseline is None:
        return
    if splits.statistics is not None:
        raise InputError(
            "a model with a baseline trains on structures in memory, not on prepared ones; give the files, "
            "dataset=files dataset.path=..."
        )
    identity = baseline.identity
    structures = [s for _, members in splits for s in members if identity not in s.baselines]
    check_baseline_elements(baseline.species, structures)
    if isinstance(baseline, CalculatorBaseline):
        baseline.check(structures)
    cache = BaselineCache(identity, root)
    known = cache.find(structures)
    if any(geometry_key(s) not in known for s in structures):
        with cache.alone():
            known |= cache.find(structures)
            left = {key: s for s in structures if (key := geometry_key(s)) not in known}
            known |= _computed(baseline, left, cache, device or baseline.device)
    for structure in structures:
        structure.baselines[identity] = known[geometry_key(structure)]


def check_baseline_elements(species: Sequence[str], structures: Sequence[Structure]) -> None:
    """Raise an InputError, by file and frame, where a structure has an element that a baseline does not know."""
    for structure in structures:
        if unknown := unknown_elements(structure, species):
            raise InputError(
                f"{structure.source}: {', '.join(unknown)}, which the baseline does not know; it knows "
                f"{', '.join(species)}. Choose another model.baseline, or take the frame out"
            )


def _computed(
    baseline: SOGNet, structures: dict[bytes, Structure], cache: BaselineCache, device: torch.device
) -> dict[bytes, BaselineLabels]:
    """Labels by key; they are kept in the end and now and then, also where that is interrupted."""
    if not structures:
        return {}
    logger.info("the baseline is evaluated once for %d structures and kept in %s", len(structures), cache.folder)
    baseline = copy.deepcopy(baseline).double().to(device)
    found: dict[bytes, BaselineLabels] = {}
    unkept: dict[bytes, BaselineLabels] = {}
    at_once = 1 if isinstance(baseline, CalculatorBaseline) else ATOMS_AT_ONCE  # whose error tells the structure
    last = time.monotonic()
    try:
        for batch in tracked(list(_batches(structures, at_once)), "baseline"):
            unkept |= _of_batch(baseline, batch)
            if time.monotonic() - last > KEPT_EVERY:
                cache.add(unkept)
                found, unkept, last = found | unkept, {}, time.monotonic()
    finally:
        cache.add(unkept)
    return found | unkept


def _batches(structures: dict[bytes, Structure], at_once: int) -> Iterator[dict[bytes, Structure]]:
    """Structures of similar sizes together, of so many atoms at most or one alone."""
    batch: dict[bytes, Structure] = {}
    for key, structure in sorted(structures.items(), key=lambda item: len(item[1])):
        if batch and sum(map(len, batch.values())) + len(structure) > at_once:
            yield batch
            batch = {}
        batch[key] = structure
    yield batch


def _of_batch(baseline: SOGNet, structures: dict[bytes, Structure]) -> dict[bytes, BaselineLabels]:
    graphs = build_batch(list(structures.values()), baseline.cutoff)
    try:
        outputs = baseline(graphs.to(baseline.device))
    except InputError as error:
        raise InputError(f"{next(iter(structures.values())).source}: {error}; take the frame out") from error
    out = {name: value.detach().cpu().double().numpy() for name, value in outputs.items()}
    labels = {}
    for i, (bounds, (key, structure)) in enumerate(zip(pairwise(graphs.ptr.tolist()), structures.items(), strict=True)):
        one = BaselineLabels(float(out["energy"][i]), out["forces"][slice(*bounds)].copy(), out["stress"][i].copy())
        if not np.isfinite(one.energy + one.forces.sum() + one.stress.sum()):
            raise InputError(f"{structure.source}: the baseline gives energies or forces that are not finite")
        labels[key] = one
    return labels
