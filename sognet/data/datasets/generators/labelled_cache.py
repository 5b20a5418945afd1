"""Cached data sets whose structures are sampled first and then labelled by tight binding."""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pooch
from ase import Atoms
from ase.io import write

from sognet.data.cache import made_once
from sognet.data.io.readers import read_structures
from sognet.data.labelling.calculators import CalculatorSettings
from sognet.data.labelling.labels import label_structures
from sognet.data.structure import Structure, n_structures
from sognet.errors import InputError
from sognet.extras import require

logger = logging.getLogger(__name__)

METHODS = ("GFN1-xTB", "GFN2-xTB")
TIGHT_BINDING = {"accuracy": 0.1, "electronic_temperature": 300.0, "max_iterations": 250, "verbosity": 0}
"""Arguments of TBLite beside the method."""


def labelled_set(
    name: str,
    part: str,
    sample: Callable[[], Sequence[Atoms]],
    settings: Mapping[str, Any],
    method: str,
    workers: int | None,
    root: str | None,
) -> list[Structure]:
    """Structures of a data set: sampled and labelled once, then read from the cache.

    What an interrupted run has labelled is kept beside the cached file. Structures that fail are left out and counted
    in the log.

    Parameters
    ----------
    name, part : of the data set, for folder and file.
    sample : gives the structures, each with its total charge (e) as `info["charge"]`.
    settings : what the structures depend on; a hash of it is part of the name of the file.
    method : of tight binding.
    workers : processes; null: one for each core.
    root : folder of the cache; null: the user's cache.

    Raises
    ------
    InputError : another method, tblite is not installed, or the cache cannot be written to.
    """
    if method not in METHODS:
        raise InputError(f"dataset.method must be {' or '.join(METHODS)}, got {method!r}")
    everything = json.dumps([settings, method, TIGHT_BINDING], sort_keys=True)
    digest = hashlib.sha256(everything.encode()).hexdigest()[:10]
    path = (Path(root) if root else Path(pooch.os_cache("sognet"))) / name / f"{part}-{digest}.xyz"
    with made_once(path) as partial:
        if partial:
            require("tblite", "quantum")
            calculator = CalculatorSettings("tblite.ase.TBLite", {"method": method, **TIGHT_BINDING})
            making = path.with_name(f".{path.stem}.labels")
            labelled = label_structures(sample(), calculator, making / "labels.jsonl", workers)
            write(partial, labelled.frames, format="extxyz")
            shutil.rmtree(making)
            logger.info("%s labelled by %s, kept in %s", n_structures(len(labelled.frames)), method, path)
            if labelled.failed:
                reason = next(iter(labelled.failed.values()))
                logger.warning("%d were left out, the first because of %s", len(labelled.failed), reason)
    return read_structures(path)
