"""Errors by split, element and configuration type, as a table."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from sognet.evaluation.predictions import Prediction, errors

CONFIGURATION_TYPE = "config_type"
"""Key under which files say what kind of structure a frame is."""

COLUMNS = ("split", "group", "n_structures", "n_atoms", "energy_rmse", "energy_mae", "force_rmse", "force_mae")


def breakdown(by_split: Mapping[str, Sequence[Prediction]]) -> list[dict[str, Any]]:
    """A row of errors (meV/atom, meV/Å) for each split as a whole, each configuration type and each element in it."""
    rows = []
    everything = {"all": [p for members in by_split.values() for p in members]}
    for split, members in (dict(by_split) | everything).items():
        rows.append({"split": split, "group": "all", **errors(members)})
        types = sorted({str(p.structure.info.get(CONFIGURATION_TYPE, "")) for p in members} - {""})
        for name in types:
            of_type = [p for p in members if str(p.structure.info.get(CONFIGURATION_TYPE, "")) == name]
            rows.append({"split": split, "group": f"{CONFIGURATION_TYPE}={name}", **errors(of_type)})
        rows += [{"split": split, **row} for row in _by_element(members)]
    return rows


def write_breakdown(rows: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write `errors.csv` and `errors.md`."""
    with (folder / "errors.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    lines = [COLUMNS, ["---"] * 2 + ["---:"] * (len(COLUMNS) - 2)]
    lines += [[_cell(row.get(name)) for name in COLUMNS] for row in rows]
    (folder / "errors.md").write_text("".join(f"| {' | '.join(line)} |\n" for line in lines))


def _by_element(members: Sequence[Prediction]) -> list[dict[str, Any]]:
    """Force errors of the atoms of each element."""
    with_forces = [p for p in members if p.structure.forces is not None and p.forces is not None]
    if not with_forces:
        return []
    numbers = np.concatenate([p.structure.numbers for p in with_forces])
    difference = 1000.0 * np.concatenate([p.forces - p.structure.forces for p in with_forces])
    rows = []
    for z in np.unique(numbers):
        of_element = difference[numbers == z]
        rows.append(
            {
                "group": chemical_symbols[z],
                "n_atoms": len(of_element),
                "force_rmse": float(np.sqrt(np.square(of_element).mean())),
                "force_mae": float(np.abs(of_element).mean()),
            }
        )
    return rows


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
