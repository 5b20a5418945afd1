"""Born effective charges of runs on the dipeptides against DFT's, beside those that the data set's authors predicted.

python experiments/dipeptides/born_charges.py "forces=outputs/dipeptides/<one>" "and dipoles=outputs/dipeptides/<other>"
"""

import argparse
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read
from matplotlib.figure import Figure
from multipoles import dft_dipole, slope
from scipy.stats import pearsonr

import sognet


def main() -> None:
    """Print R², RMSE and slope of every run and of `pred_bec`; write born_charges.png into the first run's figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="name=folder")
    options = parser.parse_args()
    runs = {name: Path(folder) for name, folder in (run.split("=", 1) for run in options.runs)}
    first = next(iter(runs.values()))
    structures = [a for a in read(first / "predictions.extxyz", ":") if a.info["split"] == "val"]
    reference = concatenated(structures, "bec")
    found = {"published (pred_bec)": concatenated(structures, "pred_bec")}
    print("| | R² | RMSE, e | Pearson r | slope | charges against MBI, r (slope) | dipoles, r (slope) |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    others = {"published (pred_bec)": ""}
    for name, folder in runs.items():
        found[name], others[name] = of_model(structures, folder)
    figure = Figure(figsize=(3.6 * len(found), 3.6), layout="constrained")
    for axes, (name, values) in zip(np.atleast_1d(figure.subplots(1, len(found))), found.items(), strict=True):
        cells = [f"{determination(reference, values):.3f}", f"{rms(reference - values):.3f}"]
        cells += [f"{pearsonr(reference, values).statistic:.3f}", f"{slope(reference, values):.3f}"]
        print(f"| {name} | {' | '.join(cells)} | {others[name] or '| '} |")
        axes.plot(reference, values, ".", ms=2, alpha=0.4, rasterized=True)
        axes.axline((0, 0), slope=1, color="k", lw=0.8)
        axes.set(title=f"{name}\n$R^2$ = {cells[0]}", xlabel="DFT / e", ylabel="Born effective charge / e")
    path = first / "figures" / "born_charges.png"
    figure.savefig(path, dpi=150)
    print(path)


def of_model(structures: list[Atoms], folder: Path) -> tuple[np.ndarray, str]:
    """Born effective charges of a run, e, and what it makes of charges and dipoles; the sign is that of the dipoles."""
    predicted = sognet.predict(structures, folder, properties=["charges", "born_effective_charges", "dipole"])
    charges = np.concatenate([r["charges"] for r in predicted.results])
    dipoles = np.concatenate([r["dipole"] for r in predicted.results])
    of_dft = np.concatenate([dft_dipole(a) for a in structures])
    sign = np.sign(of_dft @ dipoles)
    born = np.concatenate([r["born_effective_charges"].reshape(-1) for r in predicted.results])
    of_mbi = np.concatenate([a.arrays["mbi_charges"] for a in structures])
    pairs = ((of_mbi, sign * charges), (of_dft, sign * dipoles))
    return sign * born, " | ".join(f"{pearsonr(*pair).statistic:.3f} ({slope(*pair):.2f})" for pair in pairs)


def concatenated(structures: list[Atoms], name: str) -> np.ndarray:
    """Values of all atoms of a column of nine numbers, of (3,3): polarisation, displacement."""
    return np.concatenate([a.arrays[name].reshape(-1) for a in structures])


def determination(reference: np.ndarray, values: np.ndarray) -> float:
    """R² of values taken as they are."""
    return 1 - np.square(reference - values).sum() / np.square(reference - reference.mean()).sum()


def rms(values: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.square(values).mean()))


if __name__ == "__main__":
    main()
