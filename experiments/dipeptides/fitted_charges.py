"""What dipoles and quadrupoles alone say of the charges: one charge per bonded environment, fitted with a restraint.

python experiments/dipeptides/fitted_charges.py outputs/dipeptides/<date>_<time>

The charges are fitted to DFT's dipoles and traceless quadrupoles of the training structures under neutrality, and
restrained to `scale` times the charges that the run's latent variables started from, by element; the rows are about the
validation structures. No network and no energy is involved.
"""

import argparse
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read
from multipoles import dft_dipole, environments, multipoles, slope, traceless
from omegaconf import OmegaConf
from scipy.stats import pearsonr

QUADRUPOLE_WEIGHT = 0.3  # 1/Å, over that of the dipoles
NEUTRALITY_WEIGHT = 10.0  # Å


def main() -> None:
    """Print a row for each scale and restraint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run, for its structures and its start")
    run = parser.parse_args().run
    initial_charges = OmegaConf.load(run / "config.yaml").model.initial_charges
    if not initial_charges:
        parser.error(f"{run}: a run without model.initial_charges")
    structures = read(run / "predictions.extxyz", ":")
    names, types = np.unique(environments(structures)[1], return_inverse=True)
    kinds = np.split(types, np.cumsum([len(a) for a in structures])[:-1])
    fitted = [equations(a, k, len(names)) for a, k in zip(structures, kinds, strict=True) if a.info["split"] == "train"]
    matrix, target = (np.concatenate(parts) for parts in zip(*fitted, strict=True))
    share = np.bincount(types) / len(types) * len(names)
    start = np.array([initial_charges[name.partition("(")[0]] for name in names])
    print("| scale | restraint / Å² | charges, r | slope | dipoles, r | quadrupoles, r | mean N / e | mean O / e |")
    print("| ---: " * 8 + "|")
    for scale in (0, 1, 2):
        for restraint in (0, 10, 100, 300, 1000):
            left = matrix.T @ matrix + restraint * np.diag(share)
            charges = np.linalg.solve(left, matrix.T @ target + restraint * share * scale * start)
            print(f"| {scale} | {restraint} | {row(structures, kinds, charges)} |")


def equations(atoms: Atoms, kinds: np.ndarray, n_kinds: int) -> tuple[np.ndarray, np.ndarray]:
    """Dipole, quadrupole about the centre and total charge, linear in the charges of the kinds, and their reference."""
    kind_of = np.eye(n_kinds)[kinds]
    centre = atoms.positions.mean(0)
    vectors = atoms.positions - centre
    squares = np.einsum("ia,ib,ik->kab", vectors, vectors, kind_of)
    dipole = dft_dipole(atoms)
    shift = np.outer(centre, dipole)
    quadrupole = np.reshape(atoms.info["quadrupole"], (3, 3)) - shift - shift.T
    left = [
        vectors.T @ kind_of,
        QUADRUPOLE_WEIGHT * np.stack([traceless(q) for q in squares], axis=1),
        NEUTRALITY_WEIGHT * kind_of.sum(0)[None],
    ]
    return np.concatenate(left), np.concatenate([dipole, QUADRUPOLE_WEIGHT * traceless(quadrupole), [0.0]])


def row(structures: list[Atoms], kinds: list[np.ndarray], charges: np.ndarray) -> str:
    """How fitted charges do on the validation structures."""
    validation = []
    for atoms, kind in zip(structures, kinds, strict=True):
        if atoms.info["split"] == "val":
            atoms.arrays["latent"] = charges[kind]
            validation.append(atoms)
    pairs = multipoles(validation)
    r = {name: f"{pearsonr(*pair).statistic:.3f}" for name, pair in pairs.items()}
    reference, latent = pairs["charges"]
    symbols = np.concatenate([atoms.symbols for atoms in validation])
    means = " | ".join(f"{latent[symbols == symbol].mean():.2f}" for symbol in "NO")
    return f"{r['charges']} | {slope(reference, latent):.2f} | {r['dipoles']} | {r['quadrupoles']} | {means}"


if __name__ == "__main__":
    main()
