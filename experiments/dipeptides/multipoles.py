"""Latent charges against MBI charges, and their dipoles and quadrupoles against DFT's, of a run on the dipeptides.

python experiments/dipeptides/multipoles.py outputs/dipeptides/<date>_<time> [--split val]
"""

import argparse
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read
from ase.neighborlist import natural_cutoffs, neighbor_list
from matplotlib.figure import Figure
from scipy.stats import pearsonr

UNITS = {"charges": "e", "dipoles": "e Å", "quadrupoles": "e Å²"}


def main() -> None:
    """Print the correlations and write multipoles.png beside the run's other figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a run or of an evaluation")
    parser.add_argument("--split", default="val")
    options = parser.parse_args()
    structures = [a for a in read(options.run / "predictions.extxyz", ":") if a.info["split"] == options.split]
    if not all("latent" in a.arrays for a in structures):
        parser.error(f"{options.run}: a run without latent variables")
    pairs = multipoles(structures)
    symbols, bonded = environments(structures)
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    panels = figure.subplots(1, 3)
    for axes, (name, (reference, latent)) in zip(panels, pairs.items(), strict=True):
        correlation = pearsonr(reference, latent).statistic
        print(f"{name}: Pearson r = {correlation:.3f}, slope {slope(reference, latent):.3f}, {len(reference)} values")
        labels = symbols if name == "charges" else np.full(len(reference), "")
        for label in np.unique(labels):
            of = labels == label
            axes.plot(reference[of], latent[of], ".", ms=3, alpha=0.5, label=label, rasterized=True)
        axes.axline((0, 0), slope=slope(reference, latent), color="k", lw=0.8)
        axes.set(title=f"{name}: $r$ = {correlation:.3f}", ylabel=f"of the latent variables / {UNITS[name]}")
        axes.set_xlabel(f"{'MBI' if name == 'charges' else 'DFT'} / {UNITS[name]}")
    panels[0].legend(markerscale=4, loc="upper left")
    print_charges(symbols, bonded, *pairs["charges"])
    path = options.run / "figures" / "multipoles.png"
    figure.savefig(path, dpi=150)
    print(path)


def multipoles(structures: list[Atoms]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Reference and latent charges (e), dipole components (e·Å) and traceless quadrupole components (e·Å²).

    The sign of latent charges is a convention that the energy does not know; it is chosen once, by the dipoles.
    """
    charges = np.concatenate([a.arrays["mbi_charges"] for a in structures])
    latent = np.concatenate([a.arrays["latent"].ravel() for a in structures])
    reference: dict[str, list[np.ndarray]] = {"dipoles": [], "quadrupoles": []}
    found: dict[str, list[np.ndarray]] = {"dipoles": [], "quadrupoles": []}
    for atoms in structures:
        q = atoms.arrays["latent"].ravel()
        q = q - q.mean()  # of neutral molecules, so that dipoles do not depend on the origin
        reference["dipoles"].append(dft_dipole(atoms))
        found["dipoles"].append(q @ atoms.positions)
        reference["quadrupoles"].append(traceless(np.reshape(atoms.info["quadrupole"], (3, 3))))
        found["quadrupoles"].append(traceless(np.einsum("i,ia,ib->ab", q, atoms.positions, atoms.positions)))
    pairs = {name: (np.concatenate(reference[name], None), np.concatenate(found[name], None)) for name in reference}
    sign = np.sign(pearsonr(*pairs["dipoles"]).statistic)
    return {name: (x, sign * y) for name, (x, y) in {"charges": (charges, latent), **pairs}.items()}


def environments(structures: list[Atoms]) -> tuple[np.ndarray, np.ndarray]:
    """Symbol of each atom, and the symbol with those of the atoms bonded to it: C and C(HHHN)."""
    symbols, bonded = [], []
    for atoms in structures:
        centre, neighbour = neighbor_list("ij", atoms, natural_cutoffs(atoms, mult=1.2))
        for index, symbol in enumerate(atoms.symbols):
            symbols.append(symbol)
            bonded.append(f"{symbol}({''.join(sorted(atoms.symbols[neighbour[centre == index]]))})")
    return np.array(symbols), np.array(bonded)


def print_charges(symbols: np.ndarray, bonded: np.ndarray, reference: np.ndarray, latent: np.ndarray) -> None:
    """Correlation among the atoms of each element, and mean charges by what an atom is bonded to."""
    for symbol in np.unique(symbols):
        of = symbols == symbol
        print(f"    {symbol} alone: r = {pearsonr(reference[of], latent[of]).statistic:.2f}")
    for environment in np.unique(bonded):
        of = bonded == environment
        scaled = latent[of].mean() / slope(reference, latent)
        means = f"MBI {reference[of].mean():5.2f} e, latent over slope {scaled:5.2f} e"
        print(f"    {environment:8} {of.sum():4d} atoms: {means}")


def slope(reference: np.ndarray, found: np.ndarray) -> float:
    """Of the line through the origin that fits best."""
    return reference @ found / (reference @ reference)


def dft_dipole(atoms: Atoms) -> np.ndarray:
    """Of the reference, (3,) in e·Å."""
    return np.ravel(atoms.calc.results["dipole"] if "dipole" in atoms.calc.results else atoms.info["dipole"])


def traceless(tensor: np.ndarray) -> np.ndarray:
    """The six independent components of a symmetric tensor (3, 3) without its trace."""
    return (tensor - np.trace(tensor) / 3 * np.eye(3))[np.triu_indices(3)]


if __name__ == "__main__":
    main()
