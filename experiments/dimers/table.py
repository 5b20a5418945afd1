"""Table of errors, binding-energy figure and learning curves of the dimer runs.

python experiments/dimers/table.py [outputs/dimers]

Takes the newest finished run of each pair, split and model below the folder.
"""

import argparse
import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read
from matplotlib.figure import Figure
from omegaconf import OmegaConf

PAIRS = ("CC", "CP", "PP", "CA", "PA", "AA")
CONTROL, WHOLE = "Deep Potential", "Deep Potential, long range"
PUBLISHED_FORCES = {  # RMSE in meV/Å over all 13; [SOG-Net] and, for CACE, [CACE-SOG], Table I
    CONTROL: dict(zip(PAIRS, (64.3, 35.4, 32.0, 26.8, 2.26, 1.13), strict=True)),
    WHOLE: dict(zip(PAIRS, (3.8, 2.1, 0.2, 0.5, 0.2, 0.06), strict=True)),
    "CACE": {"CC": 83.1, "PP": 20.7, "AA": 1.95},
    "CACE, long range": {"CC": 11.6, "PP": 4.26, "AA": 0.607},
}
PUBLISHED_ENERGIES = {  # RMSE in meV over all 13, [CACE-SOG], Table I
    "CACE": {"CC": 403.0, "PP": 31.6, "AA": 13.8},
    "CACE, long range": {"CC": 2.45, "PP": 1.46, "AA": 1.04},
}


@dataclass
class Run:
    """A finished run."""

    folder: Path
    pair: str
    split: str
    model: str  # a key of PUBLISHED_FORCES
    seconds: float
    energy_rmse: float  # meV, of the total energy
    force_rmse: float  # meV/Å
    test_force_rmse: float

    @property
    def frames(self) -> list[Atoms]:
        """Predictions."""
        return read(self.folder / "predictions.extxyz", ":")


def main() -> None:
    """Print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("outputs", type=Path, nargs="?", default=Path("outputs/dimers"))
    parser.add_argument("--figures", type=Path, default=Path(__file__).parent, help="folder to draw into")
    options = parser.parse_args()
    runs = newest(options.outputs)
    if not runs:
        raise SystemExit(f"no finished dimer runs below {options.outputs}")
    print("| pair | split | model | published F | F, all 13 | F, test | published E | E, all 13 | minutes |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for run in runs:
        comparable = run.split == ("extrapolate" if run.model.startswith("CACE") else "random")
        forces, energies = (
            published.get(run.model, {}).get(run.pair, "–") if comparable else "–"
            for published in (PUBLISHED_FORCES, PUBLISHED_ENERGIES)
        )
        print(
            f"| {run.pair} | {run.split} | {run.model} | {forces} | {run.force_rmse:.2f} | {run.test_force_rmse:.2f} | "
            f"{energies} | {run.energy_rmse:.2f} | {run.seconds / 60:.0f} |"
        )
    if any(r.model == WHOLE and r.split == "random" for r in runs):
        binding_figure(runs).savefig(options.figures / "binding.png", dpi=150)
        learning_figure(runs).savefig(options.figures / "learning.png", dpi=150)
    print(f"\nF: force RMSE, meV/Å; E: RMSE of the total energy, meV. Figures in {options.figures}")


def newest(outputs: Path) -> list[Run]:
    """Newest run of each pair, split and model."""
    found: dict[tuple[str, str, str], Run] = {}
    for file in sorted(outputs.rglob("summary.json"), key=lambda f: f.stat().st_mtime):
        config = OmegaConf.load(file.with_name("config.yaml"))
        if config.name not in ("dimers", "dimers_cace"):
            continue
        summary = json.loads(file.read_text())
        frames = read(file.with_name("predictions.extxyz"), ":")
        energy_errors = [a.get_potential_energy() - a.info["reference_energy"] for a in frames]
        run = Run(
            folder=file.parent,
            pair=config.dataset.pair,
            split=config.dataset.split,
            model=("CACE" if config.name == "dimers_cace" else CONTROL)
            + (", long range" if config.model.long_range.get("_target_") else ""),
            seconds=summary["seconds"],
            energy_rmse=1000 * float(np.sqrt(np.mean(np.square(energy_errors)))),
            force_rmse=summary["all"]["force_rmse"],
            test_force_rmse=summary["test"]["force_rmse"],
        )
        found[run.pair, run.split, run.model] = run
    return sorted(found.values(), key=lambda run: (run.split, PAIRS.index(run.pair), run.model))


def binding_figure(runs: list[Run]) -> Figure:
    """E − E_A − E_B against distance: reference, long range and short-range control, one panel per pair."""
    shown = [p for p in PAIRS if any(r.pair == p for r in runs)]
    figure = Figure(figsize=(3.2 * len(shown), 3.2), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(shown)))
    styles = {WHOLE: ("#2166ac", "-"), CONTROL: ("#e08214", "--")}
    runs = [r for r in runs if r.model in styles]
    split = "random" if any(r.split == "random" for r in runs) else "extrapolate"
    for axis, pair in zip(axes, shown, strict=True):
        for run in (r for r in runs if r.pair == pair and r.split == split):
            frames = sorted(run.frames, key=lambda a: a.info["distance"])
            distance = [a.info["distance"] for a in frames]
            separated = [a.info["energyA"] + a.info["energyB"] for a in frames]
            predicted = [a.get_potential_energy() - e for a, e in zip(frames, separated, strict=True)]
            color, line = styles[run.model]
            axis.plot(distance, predicted, line, color=color, label=run.model)
            if not axis.collections:
                reference = [a.info["reference_energy"] - e for a, e in zip(frames, separated, strict=True)]
                trained = np.array([a.info["split"] != "test" for a in frames])
                points = np.column_stack([distance, reference])
                axis.scatter(*points[trained].T, s=16, color="k", zorder=3, label="training")
                axis.scatter(*points[~trained].T, s=30, facecolor="w", edgecolor="k", zorder=3, label="test")
        axis.set(title=pair, xlabel="distance / Å")
    axes[0].set_ylabel("E − E$_A$ − E$_B$ / eV")
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def learning_figure(runs: list[Run]) -> Figure:
    """Force RMSE of the training frames against time, with the published value of each pair."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for color, pair in enumerate(PAIRS):
        for run in (r for r in runs if r.pair == pair and r.model == WHOLE and r.split == "random"):
            weight = OmegaConf.load(run.folder / "config.yaml").loss.forces
            with (run.folder / "metrics.csv").open() as file:
                rows = [row for row in csv.DictReader(file) if row.get("train/forces")]
            minutes, forces = np.array([(float(r["seconds"]) / 60, float(r["train/forces"])) for r in rows]).T
            axes.loglog(minutes, 1000 * np.sqrt(forces / weight), f"C{color}", label=pair)
            axes.axhline(PUBLISHED_FORCES[run.model][pair], color=f"C{color}", lw=0.8, ls=":")
    axes.set(xlabel="minutes", ylabel="force RMSE of the training frames / meV Å$^{-1}$")
    axes.legend(frameon=False, title="dotted: published")
    return figure


if __name__ == "__main__":
    main()
