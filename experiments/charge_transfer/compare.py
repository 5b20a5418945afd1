"""Trains with and without the long-range layer, and compares errors and the energy along the atom that moves.

python experiments/charge_transfer/compare.py [--minutes 10 | --steps 5000] [--sets nacl_atom nacl_ion]

Runs that are finished are not trained again.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from ase.io import read
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import pearsonr

from sognet import SOGNetCalculator
from sognet.data.datasets.generators.charged_systems import PATH, path_cluster
from sognet.data.datasets.generators.labelled_cache import TIGHT_BINDING
from sognet.data.labelling.calculators import CalculatorSettings
from sognet.data.labelling.labels import label_structures

SETS = {
    "nacl_atom": ["dataset.system=nacl_clusters", "dataset.removed=atom", "model.short_range.cutoff=5.29"],
    "nacl_ion": ["dataset.system=nacl_clusters", "dataset.removed=ion", "model.short_range.cutoff=5.29"],
}
NAMES = {"nacl_atom": "Na₉Cl₈⁺, Na₈Cl₈⁺", "nacl_ion": "Na₉Cl₈⁺, Na₈Cl₈"}
MODELS = {
    "without": ["model/long_range=none"],
    "charge": ["model/long_range=none", "model.total_charge=true"],
    "with": ["model.total_charge=true"],
    "full_rate": ["model.total_charge=true", "module.kernel_lr_factor=1"],
    "plain": [],
    "fixed": ["model.total_charge=true", "model.long_range.trainable=false"],
    "latents": ["model.total_charge=true", "model.n_latent=4"],
}
LABELS = {
    "without": "short range",
    "charge": "short range, total charge",
    "with": "with the layer, total charge",
    "full_rate": "the same, kernel at the rate of the rest",
    "plain": "with the layer",
    "fixed": "fixed 1/r, total charge",
    "latents": "with the layer, total charge, four latents",
}
PUBLISHED = {
    ("nacl_atom", "without"): (48.9, 1.58),
    ("nacl_atom", "with"): (4.02, 0.124),
    ("nacl_atom", "full_rate"): (4.02, 0.124),
}
"""Force (meV/Å) and energy RMSE (meV/atom) with DFT data, [CACE-LES] without and [SOG-Net] with the layer."""

POINTS = np.linspace(*PATH, 25)  # Å


def main() -> None:
    """Train what is not trained, print the tables and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="of each training")
    parser.add_argument("--steps", type=int, help="of each training, in place of minutes")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["without", "with"])
    parser.add_argument("--outputs", type=Path, default=Path("outputs/charge_transfer"))
    parser.add_argument("--figures", type=Path, default=Path(__file__).parent, help="folder to draw into")
    parser.add_argument("--settings", nargs="*", default=[], help="further settings of sognet train")
    options = parser.parse_args()
    for name in options.sets:
        for model in options.models:
            settings = ["dataset=charge_transfer", *SETS[name], *MODELS[model], *options.settings]
            length = f"steps={options.steps}" if options.steps else f"time={60 * options.minutes:g}s"
            train(options.outputs / f"{name}_{model}", [*settings, length])
    print("| set | model | published F | F, validation | F, test | published E | E, test | charges, r (slope) |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name in options.sets:
        for model in options.models:
            published = PUBLISHED.get((name, model), ("", ""))
            run = options.outputs / f"{name}_{model}"
            errors = json.loads((run / "summary.json").read_text())
            print(
                f"| {NAMES[name]} | {LABELS[model]} | {published[0]} | {errors['val']['force_rmse']:.3g} | "
                f"{errors['test']['force_rmse']:.3g} | {published[1]} | {errors['test']['energy_rmse']:.3g} | "
                f"{charges(run)} |"
            )
    clusters = [name for name in options.sets if name.startswith("nacl")]
    if clusters:
        draw(clusters, options.models, options.outputs).savefig(options.figures / "paths.png", dpi=150)


def train(folder: Path, settings: list[str]) -> None:
    """Run `sognet train` unless it has been run."""
    if (folder / "summary.json").is_file():
        return
    command = [sys.executable, "-c", "from sognet.cli.main import main; main()", "train"]
    if (folder / "checkpoints" / "last.ckpt").is_file():
        settings = [f"resume={folder}"]
    else:
        settings = [*settings, f"hydra.run.dir={folder}"]
    subprocess.run([*command, *settings], check=True)


def charges(folder: Path) -> str:
    """Pearson r and slope of latent variables against Mulliken charges of the test structures."""
    frames = [a for a in read(folder / "predictions.extxyz", ":") if a.info["split"] == "test"]
    if not all("latent" in a.arrays for a in frames):
        return ""
    latent = np.concatenate([a.arrays["latent"].reshape(len(a), -1)[:, 0] for a in frames])
    mulliken = np.concatenate([a.info["charges"] for a in frames])
    return f"{pearsonr(mulliken, latent).statistic:.3f} ({np.polyfit(mulliken, latent, 1)[0]:.2f})"


def draw(sets: list[str], models: list[str], outputs: Path) -> Figure:
    """Energy along the path of both clusters, by tight binding and by the models, and the minima as a table."""
    figure = Figure(figsize=(3.6 * (len(models) + 1) + 0.4, 3.0 * len(sets)), layout="constrained")
    axes = figure.subplots(len(sets), len(models) + 1, squeeze=False, sharex=True, sharey=True)
    print("\n| set | energies of | minimum of Na₉Cl₈⁺, Å | of the other | difference |")
    print("| --- | --- | ---: | ---: | ---: |")
    for row, name in zip(axes, sets, strict=True):
        curves = {"tight binding": reference(name, outputs)}
        curves |= {LABELS[model]: predicted(name, outputs / f"{name}_{model}") for model in models}
        for ax, (label, energies) in zip(row, curves.items(), strict=True):
            minima = [minimum(e) for e in energies]
            print(f"| {NAMES[name]} | {label} | {minima[0]:.3f} | {minima[1]:.3f} | {minima[1] - minima[0]:.3f} |")
            draw_curves(ax, label, NAMES[name].split(", "), energies)
        row[0].set_ylabel("energy / meV")
    for ax in axes[-1]:
        ax.set_xlabel("displacement / Å")
    return figure


def draw_curves(ax: Axes, label: str, names: list[str], energies: list[np.ndarray]) -> None:
    """Two curves above their minima, which are marked."""
    for number, (name, energy) in enumerate(zip(names, energies, strict=True)):
        ax.plot(POINTS, 1000 * (energy - energy.min()), f"C{number}-", label=name)
        ax.axvline(minimum(energy), color=f"C{number}", lw=0.8, ls=":")
    ax.set_title(label, fontsize="medium")
    ax.legend(frameon=False, fontsize="small")


def reference(name: str, outputs: Path) -> list[np.ndarray]:
    """Energies (eV) of both clusters along the path by tight binding."""
    removed = name.removeprefix("nacl_")
    frames = [path_cluster(complete, d, removed) for complete in (True, False) for d in POINTS]
    calculator = CalculatorSettings("tblite.ase.TBLite", {"method": "GFN1-xTB", **TIGHT_BINDING})
    labelled = label_structures(frames, calculator, outputs / f"path_{removed}" / "labels.jsonl")
    return np.split(np.array([frame.get_potential_energy() for frame in labelled.frames]), 2)


def predicted(name: str, folder: Path) -> list[np.ndarray]:
    """The same by a model."""
    calculator, removed = SOGNetCalculator(folder, dtype="float64"), name.removeprefix("nacl_")
    energies = []
    for complete in (True, False):
        frames = [path_cluster(complete, d, removed) for d in POINTS]
        energies.append(np.array([calculator.get_potential_energy(frame) for frame in frames]))
    return energies


def minimum(energies: np.ndarray) -> float:
    """Å, of the parabola through the lowest point and its neighbours."""
    lowest = int(np.clip(energies.argmin(), 1, len(energies) - 2))
    around = slice(lowest - 1, lowest + 2)
    square, linear, _ = np.polyfit(POINTS[around], energies[around], 2)
    return float(-linear / (2 * square))


if __name__ == "__main__":
    main()
