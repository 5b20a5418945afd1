"""The report of a model on a data set: errors per split, predictions and figures, written to a folder."""

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from sognet.analysis.error_groups import breakdown, write_breakdown
from sognet.analysis.figures import kernel_figure, parity_figure, save_figure
from sognet.analysis.kernel_decay import fitted_decay
from sognet.analysis.predictions import Prediction, predict_splits, split_errors, write_predictions
from sognet.data.splits import Splits
from sognet.model import SOGNet

PACKAGES = ("sognet", "torch", "lightning", "finufft", "pytorch-finufft", "torch-geometric", "ase", "vesin")


def report(
    model: SOGNet, splits: Splits, folder: Path, batch_size: int = 16, stress: bool = False, progress: bool = False
) -> dict[str, Any]:
    """Evaluate a model on every split; write `predictions.extxyz`, `errors.csv`, `.md` and `.json`, and `figures/`;
    return what goes into `summary.json`.

    The summary has the errors per split and for `all`, the number of parameters, the learned decay of the long-range
    kernel and the versions of the packages.
    """
    by_split = predict_splits(model, splits, batch_size, stress, progress)
    together = [p for members in by_split.values() for p in members]
    labels = [split for split, members in by_split.items() for _ in members]
    folder.mkdir(parents=True, exist_ok=True)
    write_predictions(folder / "predictions.extxyz", together, labels)
    write_breakdown(breakdown(by_split), folder)
    figures = {"parity": save_figure(parity_figure(by_split), folder / "figures" / "parity.png")}
    summary: dict[str, Any] = split_errors(by_split)
    if model.long_range is not None:
        kernel = model.long_range.kernel
        box = box_length(splits)
        decays = [fitted_decay(kernel, model.cutoff, box, channel) for channel in range(kernel.n_channels)]
        summary["kernel"] = [vars(decay) for decay in decays if decay]
        if all(decays):
            figures["kernel"] = save_figure(kernel_figure(kernel, model.cutoff, box), folder / "figures" / "kernel.png")
        summary["long_range_energy_share"] = long_range_energy_share(together)
    summary["parameters"] = sum(p.numel() for p in model.parameters() if p.requires_grad)
    summary["figures"] = {name: str(path) for name, path in figures.items()}
    summary["versions"] = versions()
    return summary


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide about numbers."""
    return {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}}


def long_range_energy_share(predictions: list[Prediction]) -> float:
    """Σ|E_LR| / Σ|E_SR + E_LR| over structures: how much of the interaction energy the long-range layer carries."""
    long_range = sum(abs(p.energy_long_range) for p in predictions)
    total = sum(abs(p.energy_short_range + p.energy_long_range) for p in predictions)
    return long_range / total if total else 0.0


def box_length(splits: Splits) -> float:
    """Typical length in Å of the boxes of a data set (cube root of the median volume), or of its clusters' extent."""
    lengths = [
        abs(np.linalg.det(s.cell)) ** (1 / 3) if s.pbc.all() else 2 * float(np.ptp(s.positions, axis=0).max())
        for _, structures in splits
        for s in structures
    ]
    return float(np.median(lengths))


def write_summary(summary: dict[str, Any], path: Path) -> None:
    """Write a summary as JSON."""
    path.write_text(json.dumps(summary, indent=1) + "\n")


def print_summary(summary: dict[str, Any], title: str, console: Console | None = None) -> None:
    """Table of the errors per split, the learned exponent and the paths of the figures."""
    console = console or Console()
    table = Table(title=title, title_justify="left")
    table.add_column("split")
    columns = {
        "n_structures": "structures",
        "energy_rmse": "E RMSE meV/atom",
        "energy_mae": "E MAE meV/atom",
        "force_rmse": "F RMSE meV/Å",
        "force_mae": "F MAE meV/Å",
        "stress_rmse": "σ RMSE meV/Å³",
    }
    splits = [s for s in ("train", "val", "test", "all") if s in summary]
    shown = {key: name for key, name in columns.items() if any(key in summary[s] for s in splits)}
    for name in shown.values():
        table.add_column(name, justify="right")
    for split in splits:
        table.add_row(split, *(_cell(summary[split].get(key)) for key in shown))
    console.print(table)
    for decay in summary.get("kernel", []):
        console.print(
            f"learned decay of the long-range interaction: r^-{decay['exponent']:.2f} "
            f"from {decay['r_min']:.1f} to {decay['r_max']:.1f} Å (Coulomb: r^-1), strength "
            f"{decay['coulomb_ratio']:.4f} of that of two charges e in vacuum",
            soft_wrap=True,
        )
    if "long_range_energy_share" in summary:
        share = summary["long_range_energy_share"]
        console.print(f"long-range energy: {100 * share:.2g} % of the interaction energy", soft_wrap=True)
    for name, path in summary["figures"].items():
        console.print(f"{name}: {path}", soft_wrap=True)


def _cell(value: float | None) -> str:
    if value is None:
        return "–"
    return str(value) if isinstance(value, int) else f"{value:.4g}"
