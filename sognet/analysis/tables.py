"""Tables of errors as Markdown, CSV and JSON."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sognet.analysis.numbers import readable
from sognet.targets import error_titles


def write_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], file: Path) -> None:
    """Write a table beside `file` with the suffixes .md (four digits, titles with units), .csv and .json; columns
    without values are left out, values that are missing or None are empty.
    """
    used = [c for c in columns if any(row.get(c) is not None for row in rows)]
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_suffix(".csv").open("w", newline="") as target:
        writer = csv.DictWriter(target, used, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    lines = [[column_title(name) for name in used], ["---:" if _numeric(rows, name) else "---" for name in used]]
    lines += [[cell(row.get(name)).replace("|", "\\|") for name in used] for row in rows]
    file.with_suffix(".md").write_text("".join(f"| {' | '.join(line)} |\n" for line in lines))
    plain = [{c: row[c] for c in used if row.get(c) is not None} for row in rows]
    file.with_suffix(".json").write_text(as_json(plain))


def as_json(value: Any) -> str:
    """JSON of plain values; null for numbers that are not finite, which JSON does not have."""
    return json.dumps(_finite(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def column_title(column: str) -> str:
    """Title of a column, with its unit where it is an error: of `val/force_rmse`, `val F RMSE, meV/Å`."""
    split, _, name = column.rpartition("/")
    title = error_titles().get(name)
    return f"{split} {title}".strip() if title else column


def cell(value: Any) -> str:
    """Text of a value in a table for reading."""
    return "" if value is None else readable(value, 4) if isinstance(value, float) else str(value)


def _numeric(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    return all(isinstance(row.get(name), int | float | None) for row in rows)
