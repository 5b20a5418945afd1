"""A table that compares models: a row for each, the errors of energy and forces on every split in columns."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sognet.analysis.tables import cell, column_title, write_table
from sognet.targets import error_titles

SPLITS = ("train", "val", "test", "all")


def compared(summaries: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows `checkpoint`, `<split>/<error>`, from the summaries of models by name."""
    return [
        {"checkpoint": name}
        | {f"{s}/{e}": summary[s][e] for s in SPLITS for e in error_titles() if e in summary.get(s, {})}
        for name, summary in summaries.items()
    ]


def write_comparison(summaries: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    """Write `comparison.md`, `comparison.csv` and `comparison.json`."""
    columns = ["checkpoint", *(f"{split}/{error}" for split in SPLITS for error in error_titles())]
    write_table(compared(summaries), columns, folder / "comparison")


def print_comparison(summaries: Mapping[str, Mapping[str, Any]], title: str, console: Console | None = None) -> None:
    """Print root mean square errors, a row for each model and a column for each split; `all` only where it is alone."""
    rows = compared(summaries)
    present = [s for s in SPLITS if any(name.startswith(f"{s}/") for row in rows for name in row)]
    shown = [s for s in present if s != "all"] or present
    errors = [e for e in error_titles() if e.endswith("rmse") and any(f"{s}/{e}" in row for s in shown for row in rows)]
    table = Table(title=title, title_justify="left")
    table.add_column("checkpoint", overflow="fold")
    for error in errors:
        for split in shown:
            table.add_column(column_title(f"{split}/{error}").replace(", ", "\n"), justify="right")
    for row in rows:
        table.add_row(row["checkpoint"], *(cell(row.get(f"{s}/{e}")) for e in errors for s in shown))
    (console or Console()).print(table)
