"""Errors by split, configuration type, source file, composition and element, as a table."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from ase.formula import Formula

from sognet.analysis.predictions import Prediction, errors, labelled, target_error
from sognet.analysis.tables import write_table
from sognet.data import Structure
from sognet.targets import TARGETS, error_figures, error_titles

CONFIGURATION_TYPE = "config_type"
"""Key under which files say what kind of structure a frame is."""


def breakdown(by_split: Mapping[str, Sequence[Prediction]]) -> list[dict[str, Any]]:
    """A row of errors (meV/atom, meV/Å, meV/Å³) for each split as a whole, for each configuration type, source file and
    composition in it, where there are several, and for each element.
    """
    rows = []
    everything = {"all": [p for members in by_split.values() for p in members]}
    groupings = {CONFIGURATION_TYPE: configuration_type, "source": source_file, "formula": formula}
    for split, members in (dict(by_split) | everything).items():
        rows.append({"split": split, "group": "all", **errors(members)})
        for name, group_of in groupings.items():
            rows += [{"split": split, **row} for row in _by_group(members, name, group_of)]
        rows += [{"split": split, **row} for row in _by_element(members)]
    return rows


def write_breakdown(rows: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write `errors.csv`, `errors.md` and `errors.json`."""
    counts = ["n_structures", "n_atoms", *(f"n_{target.label}" for target in TARGETS.values())]
    write_table(rows, ["split", "group", *counts, *error_titles()], folder / "errors")


def configuration_type(structure: Structure) -> str:
    """What the file says of the kind of structure; empty where it says nothing."""
    return str(structure.info.get(CONFIGURATION_TYPE, ""))


def source_file(structure: Structure) -> str:
    """File or folder that a structure was read from."""
    return structure.source.rpartition(", frame ")[0]


def formula(structure: Structure) -> str:
    """Chemical formula in Hill's order."""
    return Formula.from_list([chemical_symbols[z] for z in structure.numbers]).format("hill")


def _by_group(members: Sequence[Prediction], name: str, group_of: Callable[[Structure], str]) -> list[dict[str, Any]]:
    """Errors of the structures of each group; none where all are of the same group that needs no mention."""
    groups: dict[str, list[Prediction]] = {}
    for prediction in members:
        groups.setdefault(group_of(prediction.structure), []).append(prediction)
    if name != CONFIGURATION_TYPE and len(groups) == 1:
        return []
    return [{"group": f"{name}={group}", **errors(groups[group])} for group in sorted(groups) if group]


def _by_element(members: Sequence[Prediction]) -> list[dict[str, Any]]:
    """Errors of the targets that each atom has, of the atoms of each element."""
    rows: dict[int, dict[str, Any]] = {}
    for target in TARGETS.values():
        known = labelled(target, members) if target.per_atom else []
        if not known:
            continue
        numbers = np.concatenate([p.structure.numbers for p in known])
        found = np.concatenate([target_error(target, p) for p in known])
        for z in np.unique(numbers).tolist():
            of_element = found[numbers == z]
            row = rows.setdefault(z, {"group": chemical_symbols[z], "n_atoms": len(of_element)})
            row |= error_figures(target, of_element)
    return [rows[z] for z in sorted(rows)]
