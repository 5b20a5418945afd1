"""One model for both charges of a carbon chain, C10H2 and C10H3+, against a model for each of them.

python experiments/charge_transfer/carbon.py [--epochs 8]

Trains what is not trained, prints the table and draws the error along the chain.
"""

import argparse
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read, write
from compare import train
from matplotlib.figure import Figure

import sognet
import sognet.data

STATES = {0: "C₁₀H₂", 1: "C₁₀H₃⁺"}
"""Names by total charge (e)."""

CUTOFF = "model.short_range.cutoff=4.23"
MODELS = {
    "without": ("both", [CUTOFF, "model/long_range=none"]),
    "with": ("both", [CUTOFF, "model.total_charge=true"]),
    "own_0": ("0", [CUTOFF]),
    "own_1": ("1", [CUTOFF]),
}
"""What each model is trained on, and its settings."""

FILES = {"path": "train", "val_path": "val", "test_path": "test"}
"""Splits by the setting that names their file."""


def main() -> None:
    """Train what is not trained, print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=8, help="of each training")
    parser.add_argument("--outputs", type=Path, default=Path("outputs/charge_transfer"))
    parser.add_argument("--figures", type=Path, default=Path(__file__).parent, help="folder to draw into")
    parser.add_argument("--settings", nargs="*", default=[], help="further settings of sognet train")
    options = parser.parse_args()
    data = options.outputs / "carbon_data"
    if not (data / "both_test.extxyz").exists():
        make_data(data)
    for name, (states, settings) in MODELS.items():
        files = [f"dataset.{key}={data / states}_{split}.extxyz" for key, split in FILES.items()]
        length = f"epochs={options.epochs}"
        train(options.outputs / f"carbon_{name}", [*files, *settings, *options.settings, length])
    print("| | model | F, test | E, test | F less that of its own model | E less that of its own model |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    figure = Figure(figsize=(8.0, 3.2), layout="constrained")
    for axes, (charge, state) in zip(figure.subplots(1, 2, sharey=True), STATES.items(), strict=True):
        frames = read(data / f"{charge}_test.extxyz", ":")
        errors = {
            label: errors_of(options.outputs / f"carbon_{name}", frames)
            for name, label in (("without", "short range"), ("with", "one model"), (f"own_{charge}", "its own model"))
        }
        own = errors["its own model"]
        for label, (forces, energies) in errors.items():
            rmse = [np.sqrt(np.mean(forces**2)), np.sqrt(np.mean(energies**2))]
            more = [
                difference(mean_square(e), mean_square(o)) for e, o in zip((forces, energies), own, strict=True)
            ] if label != "its own model" else ["", ""]  # fmt: skip
            print(f"| {state} | {label} | {rmse[0]:.3g} | {rmse[1]:.3g} | {more[0]} | {more[1]} |")
            axes.semilogy(range(1, 11), np.sqrt((forces[:, :10] ** 2).mean((0, 2))), "o-", ms=3, label=label)
        axes.set(title=state, xlabel="carbon atom, from the end of the proton")
    figure.axes[0].set_ylabel("force RMSE / meV Å$^{-1}$")
    figure.axes[0].legend(frameon=False, fontsize="small")
    figure.savefig(options.figures / "carbon.png", dpi=150)


def make_data(folder: Path) -> None:
    """Files of each split, with structures of both charges and of each."""
    folder.mkdir(parents=True, exist_ok=True)
    splits = sognet.data.charge_transfer(system="carbon_chain")
    for split, members in splits:
        frames = [structure.to_atoms() for structure in members]
        for atoms, structure in zip(frames, members, strict=True):
            atoms.info["charge"] = structure.charge
        for name, kept in (("0", (0,)), ("1", (1,)), ("both", (0, 1))):
            chosen = [atoms for atoms in frames if round(atoms.info["charge"]) in kept]
            write(folder / f"{name}_{split}.extxyz", chosen, format="extxyz")


def errors_of(folder: Path, frames: list[Atoms]) -> tuple[np.ndarray, np.ndarray]:
    """Errors of forces (n_frames, N, 3) in meV/Å and of energies (n_frames,) in meV/atom."""
    results = sognet.predict(frames, folder).results
    forces = np.array([1000 * (r["forces"] - a.get_forces()) for r, a in zip(results, frames, strict=True)])
    energies = [1000 * (r["energy"] - a.get_potential_energy()) / len(a) for r, a in zip(results, frames, strict=True)]
    return forces, np.array(energies)


def mean_square(errors: np.ndarray) -> np.ndarray:
    """Of each frame, (n_frames,)."""
    return (errors**2).reshape(len(errors), -1).mean(1)


def difference(squares: np.ndarray, own: np.ndarray, n_draws: int = 2000) -> str:
    """Difference of two RMSE over the same frames, with its standard error by the bootstrap."""
    rng = np.random.default_rng(0)
    draws = rng.integers(len(own), size=(n_draws, len(own)))
    differences = np.sqrt(squares[draws].mean(1)) - np.sqrt(own[draws].mean(1))
    return f"{np.sqrt(squares.mean()) - np.sqrt(own.mean()):+.2g} ± {differences.std():.1g}"


if __name__ == "__main__":
    main()
