"""The axis across a slab or a cell, and bins along it."""

import numpy as np

from sognet.errors import InputError
from sognet.trajectories.frames import Frame

MARGIN = 10.0
"""Å beyond the first frame in which atoms are counted along an open direction."""


class Axis:
    """The normal of two periodic lattice vectors.

    Coordinates are parts of the height along a periodic third direction, from the origin, and Å along an open one, from
    the centre of mass.

    Parameters
    ----------
    name : of the quantity, for messages.
    first : first frame.
    axis : lattice vector 0, 1 or 2; None: the open one.
    width : Å, of the bins; along a periodic axis a whole number of them fills the cell.

    Raises
    ------
    InputError : the other two directions are not periodic.
    """

    def __init__(self, name: str, first: Frame, axis: int | None, width: float) -> None:
        if reason := lacks_axis(first, axis):
            raise InputError(f"{first.source}: {name} needs {reason}")
        self.index = int(np.flatnonzero(~first.pbc)[0]) if axis is None else axis
        self.is_periodic = bool(first.pbc[self.index])
        if self.is_periodic:
            self.edges = np.linspace(0, 1, max(1, round(self.height(first) / width)) + 1)
        else:
            n = int(np.ceil((np.abs(self.coordinates(first)).max() + MARGIN) / width))
            self.edges = width * np.arange(-n, n + 1)

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return len(self.edges) - 1

    @property
    def centres(self) -> np.ndarray:
        """Middle of the bins (n_bins,)."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    def normal(self, frame: Frame) -> np.ndarray:
        """Unit vector (3,) along the axis."""
        across = np.cross(*np.delete(frame.cell, self.index, axis=0))
        return across / np.linalg.norm(across) * (1.0 if across @ frame.cell[self.index] > 0 else -1.0)

    def height(self, frame: Frame) -> float:
        """Å in a unit of the coordinates."""
        return float(frame.cell[self.index] @ self.normal(frame)) if self.is_periodic else 1.0

    def area(self, frame: Frame) -> float:
        """Å² of the face that the axis crosses."""
        return float(np.linalg.norm(np.cross(*np.delete(frame.cell, self.index, axis=0))))

    def coordinates(self, frame: Frame) -> np.ndarray:
        """Coordinates (N,) of the atoms."""
        if self.is_periodic:
            return frame.fractional[:, self.index] % 1.0
        centre = frame.masses @ frame.positions / frame.masses.sum()
        return (frame.positions - centre) @ self.normal(frame)

    def bins(self, coordinates: np.ndarray) -> np.ndarray:
        """Numbers of the bins (N,), -1 or n_bins outside."""
        return np.searchsorted(self.edges, coordinates, side="right") - 1

    def shown(self, values: np.ndarray) -> slice:
        """Bins from the first to the last one with a value (..., n_bins); all of a periodic axis."""
        used = np.flatnonzero(values.reshape(-1, self.n_bins).any(0))
        return slice(None) if self.is_periodic or not len(used) else slice(used[0], used[-1] + 1)


def lacks_axis(first: Frame, axis: int | None) -> str:
    """What a frame lacks for an axis; empty: nothing."""
    if axis is None and (~first.pbc).sum() != 1:
        return "a slab, which has one open direction; or axis=0, 1 or 2 for that lattice vector"
    if axis is not None and not np.delete(first.pbc, axis).all():
        return f"periodic directions beside axis={axis}"
    return ""
