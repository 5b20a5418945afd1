"""Orientation of water across a slab: ⟨cos θ⟩(z) between the bisector of a molecule, from oxygen to hydrogen, and the
axis, for the molecules whose oxygen is at z.
"""

import numpy as np

from sognet.errors import InputError
from sognet.trajectories.axis import Axis
from sognet.trajectories.blocks import Blocks, standard_error
from sognet.trajectories.frames import Frame
from sognet.trajectories.results import Curve, Panel, Result
from sognet.trajectories.water import lacks_water, water_molecules


class Orientation:
    """Mean cosine of water along an axis.

    Parameters
    ----------
    first : first frame, with water.
    n_blocks : for errors.
    axis : lattice vector 0, 1 or 2; None: the open one.
    width : Å, of the bins.

    Raises
    ------
    InputError : there is no water, or the other two directions are not periodic.
    """

    def __init__(self, first: Frame, n_blocks: int, axis: int | None = None, width: float = 0.2) -> None:
        if reason := lacks_water(first):
            raise InputError(f"{first.source}: orientation needs {reason}")
        self.axis = Axis("orientation", first, axis, width)
        self._sums, self._counts = (Blocks((self.axis.n_bins,), n_blocks) for _ in range(2))
        self._height = Blocks((), n_blocks)

    def add(self, frame: Frame) -> None:
        """Take the water molecules of a frame."""
        waters = water_molecules(frame)
        bisectors = waters.bonds.sum(1)
        cosines = bisectors @ self.axis.normal(frame) / np.linalg.norm(bisectors, axis=1)
        n_bins, bins = self.axis.n_bins, self.axis.bins(self.axis.coordinates(frame)[waters.oxygens])
        inside = (bins >= 0) & (bins < n_bins)
        self._counts.add(frame.index, np.bincount(bins[inside], minlength=n_bins))
        self._sums.add(frame.index, np.bincount(bins[inside], cosines[inside], minlength=n_bins))
        self._height.add(frame.index, np.asarray(self.axis.height(frame)))

    def result(self) -> Result:
        """Mean cosines in the bins, without value where there never was a molecule."""
        shown = self.axis.shown(self._counts.mean)
        values = _ratio(self._sums.mean, self._counts.mean)[shown]
        errors = standard_error(_ratio(self._sums.block_means, self._counts.block_means))[shown]
        z = self.axis.centres[shown] * float(self._height.mean)
        return Result("z", "Å", z, [Panel("⟨cos θ⟩", "", [Curve("", values, errors)])])


def _ratio(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
