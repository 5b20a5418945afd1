"""Directions along which a structure is periodic."""

import numpy as np


def periodic_projector(cell: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """Projector (3,3) on what the periodic vectors of a cell (3,3) span; zero where nothing is periodic."""
    vectors = cell[pbc]
    return np.linalg.pinv(vectors) @ vectors if len(vectors) else np.zeros((3, 3))


def has_stress(cell: np.ndarray, pbc: np.ndarray) -> bool:
    """Whether a stress is defined: a periodic direction, and a cell (3,3) with a volume."""
    return bool(pbc.any() and abs(np.linalg.det(cell)) > 0)
