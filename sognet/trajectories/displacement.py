"""Mean-square displacements of each element relative to the centre of mass, and self-diffusion from their slopes.

    MSD(t) = ⟨|r_i(t₀ + t) − r_i(t₀)|²⟩ = 2 d D t + const.

Displacements count along periodic directions only, d of them, or along all three in a cluster. They are those of scaled
coordinates, times the cell, from frame to frame: a cell that breathes moves nobody, also after many crossings of its
faces (S. von Bülow, J. Bullerjahn, G. Hummer, J. Chem. Phys. 153, 021101 (2020)). Every frame is kept at
short lags and one of 2ˡ at longer ones (D. Frenkel and B. Smit, Understanding Molecular Simulation, 2002, 4.4.2), so
memory grows with the logarithm of the number of frames.
"""

from collections import deque
from collections.abc import Sequence

import numpy as np
from ase.data import chemical_symbols

from sognet.errors import InputError
from sognet.trajectories.blocks import Blocks, standard_error
from sognet.trajectories.frames import Frame
from sognet.trajectories.results import Curve, Panel, Result
from sognet.trajectories.timing import TimeStep

KEPT = 16
"""Positions kept at each level, as many lags."""

SI = 1e-8
"""m²/s in a Å²/ps."""

WINDOW = (0.1, 0.5)
"""Lags of the fit in lengths of a block, where none are given."""


class MeanSquareDisplacement:
    """Mean-square displacements by element.

    Parameters
    ----------
    first : first frame.
    n_blocks : for errors.
    fit : first and last lag in ps of the line whose slope is the diffusion; None: by the length of the blocks.

    Raises
    ------
    InputError : later, by `add`, where frames have no times or are not equally far apart.
    """

    def __init__(self, first: Frame, n_blocks: int, fit: Sequence[float] | None = None) -> None:
        self.elements = list(dict.fromkeys(chemical_symbols[z] for z in first.numbers))
        symbols = np.array([chemical_symbols[z] for z in first.numbers])
        self._members = [np.flatnonzero(symbols == e) for e in self.elements]
        self._projector = _directions(first)
        self._scaled, self._path = first.fractional, np.zeros_like(first.positions)
        self.fit, self._n_blocks = fit, n_blocks
        self._levels: list[deque[tuple[int, np.ndarray]]] = []
        self._lags: dict[int, Blocks] = {}
        self._time_step = TimeStep("msd")

    @property
    def dimensions(self) -> int:
        """Number of directions in which displacements count."""
        return len(self._projector)

    def add(self, frame: Frame) -> None:
        """Take the displacements from earlier frames to this one."""
        self._time_step.add(frame)
        scaled = frame.fractional
        self._path += (scaled - self._scaled) @ frame.cell
        self._scaled = scaled
        centre = frame.masses @ self._path / frame.masses.sum()
        places = (self._path - centre) @ self._projector.T  # (N, d)
        if frame.index == 0:
            self._start = places
        level = 0
        while frame.index % 2**level == 0 and 2**level <= max(frame.index, 1):
            self._compare(level, frame.index, places)
            level += 1

    def _compare(self, level: int, index: int, places: np.ndarray) -> None:
        if level == len(self._levels):
            self._levels.append(deque([(0, self._start)], maxlen=KEPT))
        kept = self._levels[level]
        for earlier, before in kept if index else ():
            lag = index - earlier
            if level and lag <= KEPT * 2 ** (level - 1):
                continue  # a lag of the level below
            squares = ((places - before) ** 2).sum(1)
            blocks = self._lags.setdefault(lag, Blocks((len(self.elements),), self._n_blocks))
            blocks.add(earlier, np.array([squares[m].mean() for m in self._members]))
        if index > 0:
            kept.append((index, places))

    def result(self) -> Result:
        """Displacements by lag, and the diffusion of each element."""
        step = self._time_step.step
        if not self._lags:
            raise InputError("msd needs at least two frames; analyze a longer trajectory")
        lags = np.array(sorted(self._lags))
        values = np.stack([self._lags[lag].mean for lag in lags])  # (n_lags, n_elements)
        errors = np.stack([self._lags[lag].error for lag in lags])
        curves = [Curve(e, values[:, k], errors[:, k]) for k, e in enumerate(self.elements)]
        sentences, numbers = self._diffusion(lags * step, values)
        return Result(
            "lag", "ps", lags * step, [Panel("MSD", "Å²", curves)], sentences, {"diffusion": numbers}, logarithmic=True
        )

    def _diffusion(self, times: np.ndarray, values: np.ndarray) -> tuple[list[str], dict[str, object]]:
        block = self._lags[1].size * self._time_step.step
        low, high = self.fit or (WINDOW[0] * block, WINDOW[1] * block)
        chosen = np.flatnonzero((times >= low * (1 - 1e-9)) & (times <= high * (1 + 1e-9)))
        if len(chosen) < 3:
            where = f"between {low:.3g} and {high:.3g} ps"
            return [f"diffusion: fewer than three lags {where}; a longer trajectory, or fit=[first,last] in ps"], {}
        by_lag = [self._lags[lag].block_means for lag in np.array(sorted(self._lags))[chosen]]
        n = min(len(means) for means in by_lag)
        slopes = slope(times[chosen], np.stack([means[:n] for means in by_lag]))  # (n_blocks, n_elements)
        factor = SI / (2 * self.dimensions)
        best, errors = slope(times[chosen], values[chosen]) * factor, standard_error(slopes) * factor
        powers = slope(np.log(times[chosen]), np.log(np.maximum(values[chosen], 1e-300)))
        sentences, numbers = [], {}
        for k, element in enumerate(self.elements):
            power = float(powers[k])
            numbers[element] = {"D (m²/s)": best[k], "error (m²/s)": errors[k], "power of t": power}
            if 0.8 < power < 1.2:
                found = f"{with_error(best[k] * 1e9, errors[k] * 1e9)} × 10⁻⁹ m²/s"
            else:
                found = f"none, since the MSD grows as t^{power:.2f} from {low:.3g} to {high:.3g} ps; fit=[first,last]"
            sentences.append(f"diffusion of {element}: {found}")
        return sentences, numbers | {"fit (ps)": [low, high], "dimensions": self.dimensions}


def slope(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Slopes of lines through y (n, ...) at x (n,) by least squares."""
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    return np.tensordot(weights, y, 1)


def with_error(value: float, error: float) -> str:
    """A value with its error, to two digits of the error: 2.31 ± 0.21."""
    if not np.isfinite(error) or error <= 0:
        return f"{value:.3g}"
    digits = max(0, 1 - int(np.floor(np.log10(error))))
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def _directions(frame: Frame) -> np.ndarray:
    """Unit vectors (d, 3) that span the periodic directions; all three of a cluster."""
    if frame.pbc.all() or not frame.pbc.any():
        return np.eye(3)
    return np.linalg.qr(frame.cell[frame.pbc].T)[0].T
