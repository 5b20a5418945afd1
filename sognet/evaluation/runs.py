"""`sognet runs`: a table of finished runs, best first, with the settings in which they differ."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from os.path import commonpath
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from sognet.analysis.numbers import readable
from sognet.errors import InputError
from sognet.progress import duration
from sognet.renamed_settings import up_to_date

IGNORED = ("command", "folder", "paths", "callbacks", "logger", "resume")
"""Settings that say where a run writes, not what it does."""

ROOT = {"trainer.max_time": "time", "trainer.max_epochs": "epochs", "trainer.max_steps": "steps"}
"""Settings at the root, by those of the trainer that say the same."""

WIDEST_SETTING = 34
"""Characters of a setting that is not wrapped."""

WIDEST = 120
"""The same where there is no terminal that could wrap the line."""

GAP = 2


@dataclass
class FinishedRun:
    """A run folder with a summary."""

    folder: Path
    settings: dict[str, Any]  # by dotted name
    summary: dict[str, Any]
    groups: dict[str, str]  # option by group; empty in runs of versions that did not save it
    given: frozenset[str]  # names on the command line

    @property
    def selected(self) -> tuple[str, float]:
        """Split that runs are compared on, and its force RMSE (meV/Å), or energy RMSE (meV/atom) without forces."""
        split = next(s for s in ("val", "test", "all") if s in self.summary)
        errors = self.summary[split]
        return split, errors.get("force_rmse", errors.get("energy_rmse", float("nan")))


def finished_runs(roots: Sequence[Path]) -> list[FinishedRun]:
    """Finished runs below some folders, each once, lowest error first.

    Raises
    ------
    InputError : there are none below one of the folders.
    """
    runs: dict[Path, FinishedRun] = {}
    for root in roots:
        files = [f for f in sorted(root.rglob("summary.json")) if f.with_name("config.yaml").is_file()]
        if not files:
            raise InputError(f"{root}: no finished runs below this folder")
        for file in files:
            config = up_to_date(OmegaConf.load(file.with_name("config.yaml")))
            command = OmegaConf.to_container(config.get("command") or OmegaConf.create())
            runs.setdefault(
                file.parent.resolve(),
                FinishedRun(
                    file.parent.absolute(),
                    with_one_length(flattened(config)),
                    json.loads(file.read_text()),
                    command.get("groups", {}),
                    frozenset(ROOT.get(name, name) for name in command.get("given", ())),
                ),
            )
    return sorted(runs.values(), key=lambda run: run.selected[1])


def flattened(config: DictConfig, prefix: str = "") -> dict[str, Any]:
    """Values of a configuration by dotted name."""
    values = {}
    for name, value in config.items():
        if prefix or name not in IGNORED:
            nested = isinstance(value, DictConfig)
            values |= flattened(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return values


def with_one_length(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings by dotted name with how long to train under the names at the root only."""
    lengths = {name: settings.get(name) for name in ROOT.values()}
    if all(length is None for length in lengths.values()):
        lengths = {ROOT[limit]: settings.get(limit) for limit in ROOT if settings.get(limit) not in (None, -1)}
    others = {name: value for name, value in settings.items() if name not in (*ROOT, *ROOT.values())}
    return others | {name: value for name, value in lengths.items() if value is not None}


def differing(runs: Sequence[FinishedRun]) -> list[str]:
    """Names of groups and of settings that are not the same in all runs.

    The settings that come with an option of a group that differs are left out, unless a command line names them.
    """
    groups = _differing_groups(runs)
    given = {name for run in runs for name in run.given}
    if "experiment" in groups:
        groups = [group for group in groups if group == "experiment" or group in given]
    inside = tuple(f"{group.replace('/', '.')}." for group in groups)
    everything = "experiment" in groups
    names = dict.fromkeys(name for run in runs for name in run.settings)
    return groups + [
        name
        for name in names
        if len({str(run.settings.get(name)) for run in runs}) > 1
        and (name in given or not (everything or name.startswith(inside) or f"{name}." in inside))
    ]


def print_runs(roots: Sequence[Path], console: Console | None = None) -> None:
    """Print the table."""
    runs = finished_runs(roots)
    names = differing(runs)
    shared = Path(commonpath([root.absolute() for root in roots]))
    splits = {run.selected[0] for run in runs}
    compared = f", errors of {splits.copy().pop()}" if len(splits) == 1 else ""
    settings = [_settings(run, names) for run in runs]
    folders = [str(run.folder.relative_to(shared)) for run in runs]
    console = console or Console()
    widths = {"F RMSE\nmeV/Å": 6, "E RMSE\nmeV/atom": 8, "p": 5, "time": 10}
    if len(splits) > 1:
        widths = {"split": 5} | widths
    widest = max((len(line) for lines in settings for line in lines), default=0)
    width = max(10, min(widest, WIDEST_SETTING if console.is_terminal else WIDEST))
    room = console.width - width - sum(widths.values()) - GAP * (1 + len(widths))
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False)
    longest = max(len("run"), *map(len, folders))
    table.add_column("run", overflow="fold", width=min(longest, max(8, room)) if console.is_terminal else longest)
    table.add_column("differs in", overflow="fold", width=width)
    for name, width in widths.items():
        table.add_column(name, justify="right", no_wrap=True, width=width)
    for run, folder, lines in zip(runs, folders, settings, strict=True):
        split, _ = run.selected
        errors = run.summary[split]
        kernel = (run.summary.get("kernel") or [{}])[0]
        table.add_row(
            folder,
            "\n".join(lines),
            *([split] if len(splits) > 1 else []),
            readable(errors.get("force_rmse"), 4),
            readable(errors.get("energy_rmse"), 4),
            f"{kernel['exponent']:.2f}" if kernel.get("status") in ("found", "fixed") else "–",
            duration(run.summary.get("seconds", 0.0)),
        )
    if not console.is_terminal:
        console.width = max(console.width, console.measure(table, options=console.options.update(width=500)).maximum)
    console.print(f"{len(runs)} runs below {' and '.join(map(str, roots))}{compared}", soft_wrap=True, highlight=False)
    console.print(table)


def _differing_groups(runs: Sequence[FinishedRun]) -> list[str]:
    if all(run.groups for run in runs):
        names = dict.fromkeys(name for run in runs for name in run.groups)
    else:  # nodes that are another thing, or nothing, in some of the runs
        targets = [n.removesuffix("._target_") for run in runs for n in run.settings if n.endswith("._target_")]
        names = dict.fromkeys(name.replace(".", "/") for name in targets)
    return [name for name in names if len({_choice(run, name) for run in runs}) > 1]


def _choice(run: FinishedRun, name: str) -> Any:
    """Option of a group or value of a setting."""
    if name in run.groups:
        return run.groups[name]
    dotted = name.replace("/", ".")
    if "/" in name or f"{dotted}._target_" in run.settings:
        return str(run.settings.get(f"{dotted}._target_", None) or "none").rpartition(".")[2]
    return run.settings.get(name)


def _settings(run: FinishedRun, names: Sequence[str]) -> list[str]:
    values = {name.removesuffix("._target_"): _choice(run, name) for name in names}
    texts = {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in values.items()}
    return [f"{name}={text}" for name, text in texts.items() if values[name] is not None]
