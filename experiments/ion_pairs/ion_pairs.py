"""Two ions trained up to 8 Å: do their energies follow the reference to 15 Å?

python experiments/ion_pairs/ion_pairs.py [--epochs 40] [--models without near]

Makes the data, trains what is not trained, prints the tables and draws the figure.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read, write
from matplotlib.figure import Figure
from scipy.stats import pearsonr

import sognet
import sognet.data
from sognet.data.datasets.generators.labelled_cache import TIGHT_BINDING
from sognet.data.datasets.generators.molecule_pairs import MOLECULES, contact_distance
from sognet.data.labelling.calculators import CalculatorSettings
from sognet.data.labelling.labels import label_structures

LARGEST = 8.0  # Å between the centres, of the training structures
DISTANCES = np.arange(3.0, 15.01, 0.5)  # Å
CURVES = (("NH4+", "BF4-"), ("NH4+", "PF6-"), ("NH4+", "NO3-"), ("NH4+", "NH4+"), ("BF4-", "NO3-"), ("NH4+", "H2O"))
NEAR = ["model/long_range=power_law_near", "model.total_charge=true"]
MODELS = {
    "without": ["model/long_range=none"],
    "full_rate": ["module.kernel_lr_factor=1"],
    "defaults": [],
    "slower": ["module.kernel_lr_factor=0.01"],
    "defaults_seed_1": ["seed=1"],
    "slower_seed_1": ["module.kernel_lr_factor=0.01", "seed=1"],
    "fixed": ["model.long_range.trainable=false"],
    "near": [*NEAR, "module.kernel_lr_factor=1"],
    "near_fixed": [*NEAR, "model.long_range.trainable=false"],
}
LABELS = {
    "without": "short range",
    "full_rate": "kernel at the rate of the rest",
    "defaults": "defaults",
    "slower": "kernel at a hundredth of the rate",
    "defaults_seed_1": "defaults, seed 1",
    "slower_seed_1": "kernel at a hundredth of the rate, seed 1",
    "fixed": "1/r from 5 Å on, fixed",
    "near": "1/r from 3 Å on, learned at the rate of the rest, total charge",
    "near_fixed": "1/r from 3 Å on, fixed, total charge",
}


def main() -> None:
    """Print errors, deviations of the binding curves, and charges; draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=40, help="of each training")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--outputs", type=Path, default=Path("outputs/ion_pairs"))
    parser.add_argument("--figures", type=Path, default=Path(__file__).parent, help="folder to draw into")
    options = parser.parse_args()
    near, far = options.outputs / "near.extxyz", options.outputs / "far.extxyz"
    if not (near.exists() and far.exists()):
        make_data(near, far)
    for name in options.models:
        run = options.outputs / name
        train(run, [f"dataset.path={near}", f"dataset.test_path={far}", *MODELS[name]], options.epochs)
    curves, interaction = reference(options.outputs)
    energies = {"reference": [np.array([atoms.get_potential_energy() for atoms in c]) for c in curves]}
    print("| | F, validation | F, test | E, validation | E, test | opposite ions | like ions | charges, r (slope) |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name in options.models:
        run = options.outputs / name
        energies[name] = [energies_of(run, frames) for frames in curves]
        errors = json.loads((run / "summary.json").read_text())
        cells = [f"{errors[split][f'{of}_rmse']:.3g}" for of in ("force", "energy") for split in ("val", "test")]
        shares = {
            pair: beyond(frames, np.abs((found - true) / bound))
            for pair, frames, found, true, bound in zip(
                CURVES, curves, energies[name], energies["reference"], interaction, strict=True
            )
        }
        largest = [
            max(share for pair, share in shares.items() if MOLECULES[pair[0]][1] * MOLECULES[pair[1]][1] == sign)
            for sign in (-1, 1)
        ]
        cells += [f"{100 * share:.1f} %" for share in largest]
        print(f"| {LABELS[name]} | {' | '.join(cells)} | {charges(run)} |")
        print("; ".join(f"{' '.join(pair)} {100 * share:.1f} %" for pair, share in shares.items()), file=sys.stderr)
    draw(curves, interaction, energies).savefig(options.figures / "binding.png", dpi=150)


def make_data(near: Path, far: Path) -> None:
    """Structures with centres up to 8 Å apart, and those beyond, with their labels."""
    near.parent.mkdir(parents=True, exist_ok=True)
    frames = []
    for structure in (s for _, members in sognet.data.ion_pairs() for s in members):
        frames.append(structure.to_atoms())
        frames[-1].info |= {"pair": structure.info["pair"], "charge": structure.charge}
        frames[-1].set_array("mulliken_charges", structure.info["charges"])
    for path, is_far in ((near, False), (far, True)):
        kept = [atoms for atoms in frames if (distance(atoms) > LARGEST) == is_far]
        write(path, kept, format="extxyz")
        print(f"{path}: {len(kept)} structures")


def distance(atoms: Atoms) -> float:
    """Å between the centres of both molecules."""
    first = len(MOLECULES[atoms.info["pair"].split()[0]][0])
    return float(np.linalg.norm(atoms.positions[:first].mean(0) - atoms.positions[first:].mean(0)))


def train(folder: Path, settings: list[str], epochs: int) -> None:
    """Run `sognet train` unless it has been run."""
    if (folder / "summary.json").is_file():
        return
    if (folder / "checkpoints" / "last.ckpt").is_file():
        settings = [f"resume={folder}"]
    else:
        settings = [*settings, f"epochs={epochs}", f"hydra.run.dir={folder}"]
    subprocess.run([sys.executable, "-c", "from sognet.cli.main import main; main()", "train", *settings], check=True)


def reference(outputs: Path) -> tuple[list[list[Atoms]], list[np.ndarray]]:
    """Labelled structures of every curve, and the energies that bind them (eV), without those that do not converge."""
    curves = [curve(*pair) for pair in CURVES]
    single = [[atoms[:n], atoms[n:]] for atoms, n in ((c[0], c[0].info["first"]) for c in curves)]
    for parts, pair in zip(single, CURVES, strict=True):
        for part, name in zip(parts, pair, strict=True):
            part.info = {"charge": MOLECULES[name][1]}
    labelled = [label(c, outputs / "curves" / "_".join(pair)) for c, pair in zip(curves, CURVES, strict=True)]
    alone = [label(parts, outputs / "alone" / "_".join(pair)) for parts, pair in zip(single, CURVES, strict=True)]
    apart = [sum(atoms.get_potential_energy() for atoms in parts) for parts in alone]
    bound = [np.array([a.get_potential_energy() for a in c]) - e for c, e in zip(labelled, apart, strict=True)]
    return labelled, bound


def curve(first: str, second: str) -> list[Atoms]:
    """Two molecules in one orientation, at all distances beyond contact."""
    one, other = (MOLECULES[name][0].copy() for name in (first, second))
    for atoms in (one, other):
        atoms.positions -= atoms.positions.mean(0)
    frames = []
    for d in DISTANCES[contact_distance(one, other) < DISTANCES]:
        moved = other.copy()
        moved.positions[:, 2] += d
        both = Atoms(one.numbers.tolist() + other.numbers.tolist(), np.concatenate([one.positions, moved.positions]))
        charge = MOLECULES[first][1] + MOLECULES[second][1]
        both.info = {"charge": charge, "pair": f"{first} {second}", "first": len(one)}
        frames.append(both)
    return frames


def label(frames: list[Atoms], folder: Path) -> list[Atoms]:
    """The same by tight binding; once, then from the folder."""
    calculator = CalculatorSettings("tblite.ase.TBLite", {"method": "GFN2-xTB", **TIGHT_BINDING})
    return label_structures(frames, calculator, folder / "labels.jsonl", workers=1).frames


def energies_of(folder: Path, frames: list[Atoms]) -> np.ndarray:
    """Of a model, eV."""
    return np.array([r["energy"] for r in sognet.predict(frames, folder).results])


def beyond(frames: list[Atoms], errors: np.ndarray) -> float:
    """Largest error of the structures further apart than those of the training."""
    return float(errors[[distance(atoms) > LARGEST for atoms in frames]].max())


def charges(folder: Path) -> str:
    """Pearson r and slope of latent variables against Mulliken charges of the validation structures."""
    frames = [a for a in read(folder / "predictions.extxyz", ":") if a.info["split"] == "val"]
    if not all("latent" in a.arrays for a in frames):
        return ""
    latent = np.concatenate([a.arrays["latent"].reshape(len(a), -1)[:, 0] for a in frames])
    mulliken = np.concatenate([a.arrays["mulliken_charges"] for a in frames])
    return f"{pearsonr(mulliken, latent).statistic:.3f} ({np.polyfit(mulliken, latent, 1)[0]:.2f})"


def draw(curves: list[list[Atoms]], interaction: list[np.ndarray], energies: dict[str, list[np.ndarray]]) -> Figure:
    """Energy of each pair against distance, less that of the molecules alone; grey where nothing was trained."""
    figure = Figure(figsize=(11.0, 6.4), layout="constrained")
    for axes, pair, frames, bound, number in zip(
        figure.subplots(2, 3).flat, CURVES, curves, interaction, range(len(CURVES)), strict=True
    ):
        d = [distance(atoms) for atoms in frames]
        apart = energies["reference"][number] - bound
        axes.axvspan(LARGEST, DISTANCES[-1], color="0.93")
        axes.plot(d, bound, "k.", label="GFN2-xTB")
        for name in energies:
            if name != "reference":
                axes.plot(d, energies[name][number] - apart, lw=1.2, label=LABELS[name])
        low, high = bound.min(), bound.max()
        axes.set(title=" and ".join(pair), xlabel="distance / Å", ylabel="energy / eV")
        axes.set_ylim(low - 0.15 * (high - low), high + 0.15 * (high - low))
    figure.axes[0].legend(frameon=False, fontsize="small")
    return figure


if __name__ == "__main__":
    main()
