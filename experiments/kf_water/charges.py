"""Latent variables by element against the charges of the force field, of a run on aqueous KF.

python experiments/kf_water/charges.py outputs/kf_water/<date>_<time> [--split test]
"""

import argparse
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read
from matplotlib.figure import Figure


def main() -> None:
    """Print the table and write charges.png beside the run's other figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a run or of an evaluation")
    parser.add_argument("--split", default="test")
    options = parser.parse_args()
    structures = [a for a in read(options.run / "predictions.extxyz", ":") if a.info["split"] == options.split]
    symbols, reference, latent = charges(structures)
    print(f"common factor of the latent variables: {1 / scale(reference, latent):.4f}")
    latent = latent * scale(reference, latent)
    print("| element | charge | latent, scaled | deviation | spread |\n| --- | ---: | ---: | ---: | ---: |")
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for symbol in sorted(set(symbols), key=lambda s: reference[symbols == s][0]):
        expected, found = reference[symbols == symbol][0], latent[symbols == symbol]
        deviation = found.mean() / expected - 1
        print(f"| {symbol} | {expected:.4f} | {found.mean():.4f} | {deviation:+.1%} | {found.std():.4f} |")
        axes.hist(found, bins=60, density=True, alpha=0.6, label=symbol)
        axes.axvline(expected, color="k", lw=0.8, ls=":")
    axes.set(xlabel="latent variable, scaled / e", ylabel="density", yscale="log")
    axes.legend(frameon=False, title="dotted: force field")
    path = options.run / "figures" / "charges.png"
    figure.savefig(path, dpi=150)
    print(path)


def charges(structures: list[Atoms]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Symbols, charges of the force field (e) and latent variables of all atoms."""
    symbols = np.concatenate([np.array(a.get_chemical_symbols()) for a in structures])
    reference = np.concatenate([a.arrays["reference_charges"] for a in structures])
    return symbols, reference, np.concatenate([a.arrays["latent"].ravel() for a in structures])


def scale(reference: np.ndarray, latent: np.ndarray) -> float:
    """Factor, sign included, that brings latent variables closest to charges: the kernel's strength takes it up."""
    return float(reference @ latent / (latent @ latent))


if __name__ == "__main__":
    main()
