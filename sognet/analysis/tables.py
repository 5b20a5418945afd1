"""Tables of errors as Markdown, CSV and JSON."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def write_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], file: Path) -> None:
    """Write a table beside `file` with the suffixes .md (four digits), .csv and .json; columns without values are left
    out, values that are missing or None are empty.
    """
    used = [c for c in columns if any(row.get(c) is not None for row in rows)]
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_suffix(".csv").open("w", newline="") as target:
        writer = csv.DictWriter(target, used, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    lines = [used, ["---:" if _numeric(rows, name) else "---" for name in used]]
    lines += [[cell(row.get(name)).replace("|", "\\|") for name in used] for row in rows]
    file.with_suffix(".md").write_text("".join(f"| {' | '.join(line)} |\n" for line in lines))
    plain = [{c: row[c] for c in used if row.get(c) is not None} for row in rows]
    file.with_suffix(".json").write_text(json.dumps(plain, indent=1, ensure_ascii=False) + "\n")


def cell(value: Any) -> str:
    """Text of a value in a table for reading."""
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _numeric(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    return all(isinstance(row.get(name), int | float | None) for row in rows)
