"""Cells as LAMMPS and OpenMM want them: lower triangular, from any cell by a rotation."""

import numpy as np


def triangular(cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower triangular cell L (3,3) with a positive diagonal, and the orthogonal R (3,3) with cell R = L.

    A row vector v of the cell's axes is v R in those of L, and a tensor σ is Rᵀ σ R. R of a left-handed cell reflects,
    which changes neither energies nor dynamics.

    Parameters
    ----------
    cell : (3,3) with a volume, vectors as rows.
    """
    orthogonal, upper = np.linalg.qr(cell.T)
    signs = np.where(np.diag(upper) < 0, -1.0, 1.0)
    return np.tril((upper * signs[:, None]).T), orthogonal * signs


def reduced(lower: np.ndarray) -> np.ndarray:
    """Vectors (3,3) of the same lattice, lower triangular, with off-diagonal elements of at most half the diagonal."""
    a, b, c = lower.copy()
    c -= b * np.round(c[1] / b[1])
    c -= a * np.round(c[0] / a[0])
    b -= a * np.round(b[0] / a[0])
    return np.stack([a, b, c])


def fractional(positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Coordinates (N,3) of positions (N,3) in units of the vectors of a cell (3,3)."""
    return np.linalg.solve(cell.T, positions.T).T


def nearest_images(positions: np.ndarray, cell: np.ndarray, before: np.ndarray, periodic: np.ndarray) -> np.ndarray:
    """Wrapped positions (N,3), moved by periodic vectors of a cell to where they were before.

    Parameters
    ----------
    positions : in Å, by the same axes as `cell`.
    cell : (3,3), vectors as rows.
    before : fractional coordinates (N,3), less than half a vector away.
    periodic : (3,) bool, which vectors are.
    """
    images = np.round(before - fractional(positions, cell)) * periodic
    return positions + images @ cell
