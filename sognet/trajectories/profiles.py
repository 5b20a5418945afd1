"""Density of each element and of charge across a slab.

    ρ_A(z) = ⟨Σ_{i∈A} δ(z − z_i)⟩ / area,

with z along the normal of the other two lattice vectors: from the centre of mass along an open direction, from the
origin of the cell along a periodic one.
"""

import numpy as np
from ase.data import chemical_symbols

from sognet.errors import InputError
from sognet.trajectories.axis import Axis
from sognet.trajectories.blocks import Blocks
from sognet.trajectories.frames import Frame
from sognet.trajectories.results import Curve, Panel, Result

MOL_PER_LITRE = 1660.539
"""mol/L in an atom per Å³."""


class Profiles:
    """Densities along an axis.

    Parameters
    ----------
    first : first frame.
    n_blocks : for errors.
    axis : lattice vector 0, 1 or 2; None: the open one.
    width : Å, of the bins; along a periodic axis a whole number of them fills the cell.

    Raises
    ------
    InputError : the other two directions are not periodic.
    """

    def __init__(self, first: Frame, n_blocks: int, axis: int | None = None, width: float = 0.2) -> None:
        self.axis = Axis("profiles", first, axis, width)
        self.elements = list(dict.fromkeys(chemical_symbols[z] for z in first.numbers))
        self._kinds = np.array([self.elements.index(chemical_symbols[z]) for z in first.numbers])
        shape = (len(self.elements), self.axis.n_bins)
        self._density = Blocks(shape, n_blocks)
        self._charge = Blocks(shape[1:], n_blocks) if first.charges is not None else None
        self._height, self._outside = Blocks((), n_blocks), 0

    def add(self, frame: Frame) -> None:
        """Count the atoms of a frame."""
        n_bins, height = self.axis.n_bins, self.axis.height(frame)
        bins = self.axis.bins(self.axis.coordinates(frame))
        inside = (bins >= 0) & (bins < n_bins)
        self._outside += int((~inside).sum())
        volume = self.axis.area(frame) * height * np.diff(self.axis.edges)
        flat = self._kinds[inside] * n_bins + bins[inside]
        counts = np.bincount(flat, minlength=len(self.elements) * n_bins).reshape(-1, n_bins)
        self._density.add(frame.index, counts / volume)
        self._height.add(frame.index, np.asarray(height))
        if self._charge is not None:
            if frame.charges is None:
                raise InputError(f"{frame.source}: no charges, which earlier frames have")
            charges = np.bincount(bins[inside], weights=frame.charges[inside], minlength=n_bins)
            self._charge.add(frame.index, charges / volume)

    def result(self) -> Result:
        """Densities of the elements, and of charge where there are charges."""
        z = self.axis.centres * float(self._height.mean)
        values, errors = self._density.mean, self._density.error
        shown = self.axis.shown(values)
        curves = [
            Curve(element, values[k, shown] * MOL_PER_LITRE, errors[k, shown] * MOL_PER_LITRE)
            for k, element in enumerate(self.elements)
        ]
        panels = [Panel("density", "mol/L", curves)]
        if self._charge is not None:
            panels.append(
                Panel("charge density", "e/Å³", [Curve("", self._charge.mean[shown], self._charge.error[shown])])
            )
        sentences = [f"profiles: {self._outside} times an atom was outside of the bins"] if self._outside else []
        direction = "abc"[self.axis.index]
        return Result("z", "Å", z[shown], panels, sentences, {"axis": direction, "outside": self._outside})
