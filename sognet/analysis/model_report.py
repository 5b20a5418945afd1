"""The report of a model on a data set: errors per split, predictions and figures, written to a folder."""

import math
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from sognet.analysis.baseline_alone import baseline_errors
from sognet.analysis.energy_balance import energy_offset, long_range_energy_share, long_range_variation
from sognet.analysis.error_groups import breakdown, write_breakdown
from sognet.analysis.figures import kernel_figure, parity_figure, save_figure
from sognet.analysis.findings import reported_split
from sognet.analysis.kernel_inspection import as_numbers, decays_within, inspected_structures
from sognet.analysis.long_range_share import decays, force_shares
from sognet.analysis.numbers import readable
from sognet.analysis.predictions import predict_splits, split_errors, write_predictions
from sognet.analysis.spread import spreads
from sognet.analysis.tables import as_json
from sognet.data.splits import Splits
from sognet.long_range.decay import Boxes, kernel_of
from sognet.model import SOGNet, diagnostics
from sognet.targets import TARGETS, error_titles

INSPECTED, INSPECTED_ATOMS, INSPECTION_SECONDS = 12, 1_500, 5.0
"""Structures and atoms from which a report says what the data determine of the decay, unless that takes longer."""

SAMPLE = 1000
"""Structures of each split from which the size of the boxes is taken."""

PACKAGES = ("sognet", "torch", "lightning", "finufft", "pytorch-finufft", "torch-geometric", "ase", "vesin")


def report(
    model: SOGNet, splits: Splits, folder: Path, batch_size: int = 16, stress: bool = False, progress: bool = False
) -> dict[str, Any]:
    """Evaluate a model on every split; write `predictions.extxyz`, `errors.csv`, `.md` and `.json`, and `figures/`;
    return what goes into `summary.json`.

    The summary has the errors and the spread of the references per split and for `all`, the errors of a baseline alone,
    the number of parameters, the part of the long-range layer and the decay of its kernel, and the versions of the
    packages.
    """
    by_split = predict_splits(model, splits, batch_size, stress, progress)
    together = [p for members in by_split.values() for p in members]
    labels = [split for split, members in by_split.items() for _ in members]
    folder.mkdir(parents=True, exist_ok=True)
    write_predictions(folder / "predictions.extxyz", together, labels)
    write_breakdown(breakdown(by_split), folder)
    figures = {"parity": save_figure(parity_figure(by_split), folder / "figures" / "parity.png")}
    summary: dict[str, Any] = split_errors(by_split)
    summary["spread"] = {split: spreads(members) for split, members in (by_split | {"all": together}).items()}
    split = reported_split(summary)
    if offset := energy_offset(by_split.get(split, together)):
        summary["energy_offset"] = offset
    if of_baseline := baseline_errors(model, by_split):
        summary["baseline"] = of_baseline
    if model.long_range is not None:
        boxes = typical_boxes(splits)
        shares = force_shares(model, [p.structure for p in by_split.get(split, together)])
        summary["long_range"] = shares | long_range_variation(by_split.get(split, together))
        summary["long_range_energy_share"] = long_range_energy_share(together)
        summary["charges_known"] = model.charges is not None
        summary["diagnostics"] = diagnostics(model, boxes)
        if "decay_sensitivity" in shares:
            error = summary[split].get("force_rmse")
            summary["kernel"] = decays(model, boxes, shares["decay_sensitivity"], error)
            kernel = kernel_of(model.long_range)
            if kernel.trainable:
                some = inspected_structures(splits, INSPECTED, INSPECTED_ATOMS)
                found = decays_within(model, some, boxes, INSPECTION_SECONDS)
                summary["determined_decay"] = [as_numbers(decay) for decay in found]
            if len(summary["kernel"]) == kernel.n_channels:
                figure = kernel_figure(kernel, model.cutoff, boxes, [decay["status"] for decay in summary["kernel"]])
                figures["kernel"] = save_figure(figure, folder / "figures" / "kernel.png")
    summary["parameters"] = sum(p.numel() for p in model.parameters() if p.requires_grad)
    summary["figures"] = {name: str(path) for name, path in figures.items()}
    summary["versions"] = versions()
    return summary


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide about numbers."""
    return {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}}


def typical_boxes(splits: Splits) -> Boxes:
    """Median of the cube roots of the volumes, or of the extents, of some structures, evenly spaced."""
    some = [s for _, structures in splits for s in structures[:: math.ceil(len(structures) / SAMPLE)]]
    lengths = [abs(np.linalg.det(s.cell)) ** (1 / 3) if s.pbc.all() else 2 * _extent(s.positions) for s in some]
    return Boxes(float(np.median(lengths)), bool(np.mean([s.pbc.all() for s in some]) >= 0.5))


def _extent(positions: np.ndarray) -> float:
    """Largest distance of an atom from one at the rim, Å: that of the two farthest ones, or little less."""
    rim = positions[np.linalg.norm(positions - positions.mean(0), axis=1).argmax()]
    return float(np.linalg.norm(positions - rim, axis=1).max())


def write_summary(summary: dict[str, Any], path: Path) -> None:
    """Write a summary as JSON."""
    path.write_text(as_json(summary))


def print_summary(summary: dict[str, Any], title: str, console: Console | None = None) -> None:
    """Table of the errors per split and the paths of the figures."""
    console = console or Console()
    table = Table(title=title, title_justify="left")
    table.add_column("split")
    columns = {"n_structures": "structures"}
    columns |= {f"n_{target.label}": f"with\n{name}" for name, target in TARGETS.items()}
    without_mae = [t.label for name, t in TARGETS.items() if name not in ("energy", "forces")]
    left_out = {f"{label}_mae" for label in without_mae}  # so that the others fit beside each other
    columns |= {name: title.replace(", ", "\n") for name, title in error_titles().items() if name not in left_out}
    splits = [s for s in ("train", "val", "test", "all") if s in summary]
    shown = {key: name for key, name in columns.items() if any(key in summary[s] for s in splits)}
    for name in shown.values():
        table.add_column(name, justify="right")
    for split in splits:
        table.add_row(split, *(_cell(summary[split], key) for key in shown))
    console.print(table)
    for name, path in summary["figures"].items():
        console.print(f"{name}: {path}", soft_wrap=True)


def _cell(errors: dict[str, Any], key: str) -> str:
    """Cell of the table; a split whose structures all have a target counts all of them."""
    if key in errors or not key.startswith("n_"):
        return readable(errors.get(key), 4)
    return readable(errors["n_structures"], 4) if f"{key[2:]}_rmse" in errors else "0"
