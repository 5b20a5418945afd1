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
from sognet.data.streaming.sharded import ShardedStructures
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
    baseline, splits : that of a model; a data set in memory, or a prepared one, whose blocks are read one by one.
    root : folder of data sets (`paths.data`), which keeps the values; by default the user's cache.
    device : where to compute; by default where the baseline is.

    Raises
    ------
    InputError : an element that the baseline does not know, or energies or forces of it that are not finite, by file
        and frame; values of a prepared data set that cannot be kept.
    """
    if baseline is None:
        return
    identity, device = baseline.identity, device or baseline.device
    cache = BaselineCache(identity, root)
    for _, members in splits:
        if isinstance(members, ShardedStructures):
            _evaluate_blocks(baseline, members, cache, device)
    structures = [
        s for _, members in splits if isinstance(members, list) for s in members if identity not in s.baselines
    ]
    check_baseline_elements(baseline.species, structures)
    if isinstance(baseline, CalculatorBaseline):
        baseline.check(structures)
    known = cache.find(structures)
    if any(geometry_key(s) not in known for s in structures):
        with cache.alone():
            known |= cache.find(structures)
            left = {key: s for s in structures if (key := geometry_key(s)) not in known}
            known |= _computed(baseline, left, cache, device)
    for structure in structures:
        structure.baselines[identity] = known[geometry_key(structure)]


def _evaluate_blocks(
    baseline: SOGNet | CalculatorBaseline, structures: ShardedStructures, cache: BaselineCache, device: torch.device
) -> None:
    """Have structures of a prepared data set bring what a baseline gives; what was computed of it is kept."""
    from sognet.data.streaming.baseline_blocks import BaselineBlocks

    kept = BaselineBlocks(cache.folder)
    places = [structures.block_of_shard(block) for block in range(len(structures.files))]
    if not all(kept.file(*place).is_file() for place in places):
        with cache.alone():
            missing = [block for block, place in enumerate(places) if not kept.file(*place).is_file()]
            count = sum(len(structures.members(block)) for block in missing)
            logger.info("the baseline is evaluated once for %d structures and kept in %s", count, cache.folder)
            baseline = copy.deepcopy(baseline).double().to(device)
            for block in tracked(missing, "baseline"):
                members = [structures[number] for number in structures.members(block)]
                kept.write(*places[block], _of_block(baseline, members))
    structures.baselines[baseline.identity] = kept


def _of_block(baseline: SOGNet | CalculatorBaseline, structures: Sequence[Structure]) -> list[BaselineLabels]:
    check_baseline_elements(baseline.species, structures)
    if isinstance(baseline, CalculatorBaseline):
        baseline.check(structures)
    keys, found = [geometry_key(s) for s in structures], {}
    for batch in _batches(dict(zip(keys, structures, strict=True)), _at_once(baseline)):
        found |= _of_batch(baseline, batch)
    return [found[key] for key in keys]


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
    last = time.monotonic()
    try:
        for batch in tracked(list(_batches(structures, _at_once(baseline))), "baseline"):
            unkept |= _of_batch(baseline, batch)
            if time.monotonic() - last > KEPT_EVERY:
                cache.add(unkept)
                found, unkept, last = found | unkept, {}, time.monotonic()
    finally:
        cache.add(unkept)
    return found | unkept


def _at_once(baseline: SOGNet | CalculatorBaseline) -> int:
    return 1 if isinstance(baseline, CalculatorBaseline) else ATOMS_AT_ONCE  # its error tells the structure


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
