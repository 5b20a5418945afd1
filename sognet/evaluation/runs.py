"""`sognet runs`: a table of finished runs, best first, with the settings in which they differ."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from sognet.errors import InputError

IGNORED = ("folder", "paths", "callbacks", "logger", "resume")
"""Settings that say where a run writes, not what it does."""


@dataclass
class FinishedRun:
    """A run folder with a summary."""

    folder: Path
    settings: dict[str, Any]  # by dotted name
    summary: dict[str, Any]

    @property
    def selected(self) -> tuple[str, float]:
        """Split that runs are compared on, and its force RMSE (meV/Å), or energy RMSE (meV/atom) without forces."""
        split = next(s for s in ("val", "test", "all") if s in self.summary)
        errors = self.summary[split]
        return split, errors.get("force_rmse", errors.get("energy_rmse", float("nan")))


def finished_runs(root: Path) -> list[FinishedRun]:
    """Finished runs below a folder, lowest error first.

    Raises
    ------
    InputError : there are none.
    """
    runs = []
    for file in sorted(root.rglob("summary.json")):
        config = file.with_name("config.yaml")
        if config.is_file():
            settings = flattened(OmegaConf.load(config))
            runs.append(FinishedRun(file.parent, settings, json.loads(file.read_text())))
    if not runs:
        raise InputError(f"{root}: no finished runs below this folder")
    return sorted(runs, key=lambda run: run.selected[1])


def flattened(config: DictConfig, prefix: str = "") -> dict[str, Any]:
    """Values of a configuration by dotted name."""
    values = {}
    for name, value in config.items():
        if prefix or name not in IGNORED:
            nested = isinstance(value, DictConfig)
            values |= flattened(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return values


def differing(runs: list[FinishedRun]) -> list[str]:
    """Names of the settings that are not the same in all runs."""
    names = dict.fromkeys(name for run in runs for name in run.settings)
    return [n for n in names if len({str(run.settings.get(n)) for run in runs}) > 1]


def print_runs(root: Path, console: Console | None = None) -> None:
    """Print the table."""
    runs = finished_runs(root)
    names = differing(runs)
    table = Table(title=f"{len(runs)} runs below {root}", title_justify="left")
    table.add_column("run", overflow="fold")
    table.add_column("differs in", overflow="fold")
    for name in ("split", "F RMSE meV/Å", "E RMSE meV/atom", "p", "seconds"):
        table.add_column(name, justify="right")
    for run in runs:
        split, _ = run.selected
        errors = run.summary[split]
        kernel = run.summary.get("kernel") or [{}]
        numbers = (errors.get("force_rmse"), errors.get("energy_rmse"), kernel[0].get("exponent"))
        table.add_row(
            str(run.folder.relative_to(root)),
            ", ".join(f"{n.removesuffix('._target_')}={run.settings[n]}" for n in names if n in run.settings),
            split,
            *("–" if n is None else f"{n:.4g}" for n in numbers),
            f"{run.summary.get('seconds', 0):.0f}",
        )
    (console or Console()).print(table)
