"""Density of each element and of charge across a slab.

    ρ_A(z) = ⟨Σ_{i∈A} δ(z − z_i)⟩ / area,

with z along the normal of the other two lattice vectors: from the centre of mass along an open direction, from the
origin of the cell along a periodic one.
"""

import numpy as np
from ase.data import chemical_symbols

from sognet.errors import InputError
from sognet.trajectories.blocks import Blocks
from sognet.trajectories.frames import Frame
from sognet.trajectories.results import Curve, Panel, Result

MOL_PER_LITRE = 1660.539
"""mol/L in an atom per Å³."""

MARGIN = 10.0
"""Å beyond the first frame in which atoms are counted along an open direction."""


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
        if reason := lacks_axis(first, axis):
            raise InputError(f"{first.source}: profiles needs {reason}")
        self.axis = int(np.flatnonzero(~first.pbc)[0]) if axis is None else axis
        self.is_periodic = bool(first.pbc[self.axis])
        self.elements = list(dict.fromkeys(chemical_symbols[z] for z in first.numbers))
        self._kinds = np.array([self.elements.index(chemical_symbols[z]) for z in first.numbers])
        places, height, _ = self._places(first)
        self._edges = _edges(places, height, width, self.is_periodic)  # Å, or parts of the height
        shape = (len(self.elements), len(self._edges) - 1)
        self._density = Blocks(shape, n_blocks)
        self._charge = Blocks(shape[1:], n_blocks) if first.charges is not None else None
        self._height, self._outside = Blocks((), n_blocks), 0

    def _places(self, frame: Frame) -> tuple[np.ndarray, float, float]:
        """Coordinates (N,), height in Å and area in Å²."""
        a, b = np.delete(frame.cell, self.axis, axis=0)
        normal = np.cross(a, b)
        area = float(np.linalg.norm(normal))
        normal = normal / area
        height = float(frame.cell[self.axis] @ normal)
        if height < 0:
            normal, height = -normal, -height
        if self.is_periodic:
            return frame.fractional[:, self.axis] % 1.0, height, area
        centre = frame.masses @ frame.positions / frame.masses.sum()
        return (frame.positions - centre) @ normal, 1.0, area

    def add(self, frame: Frame) -> None:
        """Count the atoms of a frame."""
        places, height, area = self._places(frame)
        n_bins = len(self._edges) - 1
        bins = np.searchsorted(self._edges, places, side="right") - 1
        inside = (bins >= 0) & (bins < n_bins)
        self._outside += int((~inside).sum())
        volume = area * height * np.diff(self._edges)
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
        z = 0.5 * (self._edges[1:] + self._edges[:-1]) * float(self._height.mean)
        values, errors = self._density.mean, self._density.error
        used = np.flatnonzero(values.any(0))
        shown = slice(None) if self.is_periodic else slice(used[0], used[-1] + 1)
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
        direction = "abc"[self.axis]
        return Result("z", "Å", z[shown], panels, sentences, {"axis": direction, "outside": self._outside})


def lacks_axis(first: Frame, axis: int | None) -> str:
    """What a frame lacks for profiles along an axis; empty: nothing."""
    if axis is None and (~first.pbc).sum() != 1:
        return "a slab, which has one open direction; or axis=0, 1 or 2 for that lattice vector"
    if axis is not None and not np.delete(first.pbc, axis).all():
        return f"periodic directions beside axis={axis}"
    return ""


def _edges(places: np.ndarray, height: float, width: float, is_periodic: bool) -> np.ndarray:
    if is_periodic:
        return np.linspace(0, 1, max(1, round(height / width)) + 1)
    n = int(np.ceil((np.abs(places).max() + MARGIN) / width))
    return width * np.arange(-n, n + 1)
