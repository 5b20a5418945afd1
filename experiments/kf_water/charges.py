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
    elements = sorted(set(symbols), key=lambda s: reference[symbols == s][0])
    deviations = [100 * (latent[symbols == s] / reference[symbols == s] - 1) for s in elements]
    labels = []
    for symbol, deviation in zip(elements, deviations, strict=True):
        expected, found = reference[symbols == symbol][0], latent[symbols == symbol]
        print(f"| {symbol} | {expected:.4f} | {found.mean():.4f} | {deviation.mean():+.1f} % | {found.std():.4f} |")
        labels.append(f"{symbol}\n{expected:+.4f} e")
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.axhspan(-5, 5, color="0.92", label="±5 %")
    axes.axhline(0, color="k", lw=0.8, label="charge of the force field")
    axes.violinplot(deviations, showmeans=True, showextrema=False, widths=0.8)
    axes.set_xticks(range(1, len(labels) + 1), labels)
    axes.set(ylabel="deviation of the latent variables / %", ylim=(-8, 8))
    axes.legend(frameon=False, loc="upper right", ncols=2)
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
