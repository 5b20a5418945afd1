"""7net-0 and CHGNet on the charged dimers, as they are, fine-tuned, and as baselines, without and with the layer.

python experiments/foundation/compare.py [--minutes 8] [--pair CC] [--models bare tuned tuned_layer ...]

Prints a table and draws the binding energies. Runs that are finished are not trained again.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read
from matplotlib.figure import Figure

WITHOUT = ["model/long_range=none"]
TRAINED = [  # in small batches: an iteration of L-BFGS takes minutes
    "model/short_range=sevennet", "model.short_range.pretrained=7net-0", "optimizer=soap", "~optimizer.save_history",
    "optimizer.lr=1e-3", "scheduler=cosine", "module.warmup_steps=20", "batch.batch_size=4",
]  # fmt: skip
FROZEN = ["freeze=[short_range.*]"]
SMALL = [
    "model/short_range=cace", "model.short_range.cutoff=5.0", "model.short_range.n_radial=8",
    "model.short_range.l_max=2", "model.short_range.nu_max=2", "model.short_range.n_embedding=3",
]  # fmt: skip
SEVENNET = ["model/baseline=sevennet", "model.baseline.pretrained=7net-0", *SMALL]
CHGNET = ["model/baseline=chgnet", "model.baseline.pretrained=0.3.0", *SMALL]
CHGNET_ALONE = ["model/short_range=chgnet", "model.short_range.pretrained=0.3.0"]
MODELS = {
    "bare": [*TRAINED, *WITHOUT, "train=false"],
    "tuned": [*TRAINED, *WITHOUT],
    "tuned_layer": TRAINED,
    "frozen_layer": [*TRAINED, *FROZEN],
    "delta": [*SEVENNET, *WITHOUT],
    "delta_layer": SEVENNET,
    "chgnet_bare": [*CHGNET_ALONE, *WITHOUT, "train=false"],
    "chgnet_delta": [*CHGNET, *WITHOUT],
    "chgnet_delta_layer": CHGNET,
}
LABELS = {
    "bare": "7net-0",
    "tuned": "fine-tuned",
    "tuned_layer": "fine-tuned with the layer",
    "frozen_layer": "frozen, with the layer",
    "delta": "7net-0 + small CACE",
    "delta_layer": "7net-0 + small CACE with the layer",
    "chgnet_bare": "CHGNet 0.3.0",
    "chgnet_delta": "CHGNet + small CACE",
    "chgnet_delta_layer": "CHGNet + small CACE with the layer",
}
EXPERIMENT = ["experiment=dimers", "dataset.split=extrapolate", "loss.energy=5e6", "trainer.accelerator=cpu"]


def main() -> None:
    """Train what is not trained, print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=8.0, help="of each training")
    parser.add_argument("--pair", default="CC", choices=("CC", "PP", "AA"))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--outputs", type=Path, default=Path("outputs/foundation"))
    parser.add_argument("--figures", type=Path, default=Path(__file__).parent, help="folder to draw into")
    parser.add_argument("--settings", nargs="*", default=[], help="further settings of sognet train")
    options = parser.parse_args()
    folders = {name: options.outputs / f"{options.pair}_{name}" for name in options.models}
    for name, folder in folders.items():
        train(folder, [*EXPERIMENT, f"dataset.pair={options.pair}", *MODELS[name], *options.settings], options.minutes)
    print("| model | F, 10 near | F, 3 far | F, all 13 | E, 10 near | E, 3 far | epochs | minutes |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, folder in folders.items():
        print(row(name, folder))
    file = options.figures / f"binding_{options.pair}.png"
    binding_figure(folders).savefig(file, dpi=150)
    print(f"\nF: force RMSE, meV/Å; E: RMSE of the total energy, meV. Figure in {file}")


def train(folder: Path, settings: list[str], minutes: float) -> None:
    """Train into a folder, from where an interrupted run stopped."""
    if (folder / "summary.json").is_file():
        return
    length = [] if "train=false" in settings else [f"time={60 * minutes:.0f}s"]
    started = (folder / "checkpoints" / "last.ckpt").is_file()
    given = [f"resume={folder}"] if started else [*settings, *length, f"hydra.run.dir={folder}"]
    subprocess.run([sys.executable, "-c", "from sognet.cli.main import main; main()", "train", *given], check=True)


def row(name: str, folder: Path) -> str:
    """Row of the table."""
    summary = json.loads((folder / "summary.json").read_text())
    forces = [summary[split]["force_rmse"] for split in ("train", "test", "all")]
    energies = [_energy_error(folder, split) for split in ("train", "test")]
    cost = [summary["epochs"], f"{summary['seconds'] / 60:.0f}"] if summary["epochs"] else ["–", "–"]
    numbers = [*(f"{value:.1f}" for value in (*forces, *energies)), *cost]
    return f"| {LABELS[name]} | {' | '.join(map(str, numbers))} |"


def frames_of(folder: Path) -> list[Atoms]:
    """Predictions in the order of the distance."""
    return sorted(read(folder / "predictions.extxyz", ":"), key=lambda atoms: atoms.info["distance"])


def _energy_error(folder: Path, split: str) -> float:
    frames = [atoms for atoms in frames_of(folder) if atoms.info["split"] == split]
    errors = [atoms.get_potential_energy() - atoms.info["reference_energy"] for atoms in frames]
    return 1000.0 * float(np.sqrt(np.mean(np.square(errors))))


def binding_figure(folders: dict[str, Path]) -> Figure:
    """E − E_A − E_B against distance: reference, and the models without (dashed) and with the layer."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for number, (name, folder) in enumerate(folders.items()):
        frames = frames_of(folder)
        distance = np.array([atoms.info["distance"] for atoms in frames])
        separated = np.array([atoms.info["energyA"] + atoms.info["energyB"] for atoms in frames])
        predicted = np.array([atoms.get_potential_energy() for atoms in frames]) - separated
        axes.plot(distance, predicted, "-" if name.endswith("layer") else "--", color=f"C{number}", label=LABELS[name])
        if number == 0:
            reference = np.array([atoms.info["reference_energy"] for atoms in frames]) - separated
            near = np.array([atoms.info["split"] == "train" for atoms in frames])
            axes.scatter(distance[near], reference[near], s=16, color="k", zorder=3, label="HSE06, trained on")
            axes.scatter(
                distance[~near], reference[~near], s=30, facecolor="w", edgecolor="k", zorder=3, label="HSE06, far"
            )
    axes.set(xlabel="distance / Å", ylabel="E − E$_A$ − E$_B$ / eV")
    axes.legend(frameon=False, fontsize=8)
    return figure


if __name__ == "__main__":
    main()
