"""Results as tables and as plain numbers."""

import csv
from pathlib import Path

import numpy as np

from sognet.trajectories.results import Result


def write_table(result: Result, path: Path) -> None:
    """A column for the axis and two for each curve, values and standard errors; names and units are in the header."""
    columns = {with_unit(result.label, result.unit): result.axis}
    for panel in result.panels:
        for curve in panel.curves:
            columns[with_unit(f"{panel.label} {curve.name}".rstrip(), panel.unit)] = curve.values
            if curve.errors is not None:
                columns[with_unit(f"error of {panel.label} {curve.name}".rstrip(), panel.unit)] = curve.errors
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(columns)
        table.writerows(
            [f"{v:.8g}" if np.isfinite(v) else "" for v in row] for row in zip(*columns.values(), strict=True)
        )


def read_table(path: Path) -> dict[str, np.ndarray]:
    """Columns of a table by their headers; NaN where there is no value."""
    with path.open(encoding="utf-8", newline="") as source:
        rows = list(csv.DictReader(source))
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in rows[0]}


def with_unit(label: str, unit: str) -> str:
    """A label, with its unit in brackets if there is one."""
    return f"{label} ({unit})" if unit else label


def plain(value: object) -> object:
    """The same of dictionaries, lists and Python's numbers, for JSON; None where a number is not finite."""
    if isinstance(value, dict):
        return {str(name): plain(v) for name, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(v) for v in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
