"""Whether the validation error was still falling, and what more time would give, from the curve of one run.

The best error so far is read as a power law of the training time, e ∝ t^(−b). The exponent is fitted twice, to the
first part of the last decade of the time, where the learning rate is still high, and to all of that decade; the two
bracket what the end of the schedule does to the curve.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

TARGETS = ("force_rmse", "energy_rmse")
FEWEST = 8
"""Validations in the last decade of the time, without which nothing is said."""

FALLING = 0.05
"""Relative fall over the last third of the time from which on an error counts as falling."""

POINTS = 24
"""Points at which the curve is read, evenly spaced in the logarithm of the time."""


@dataclass(frozen=True)
class Outlook:
    """Of the error `target` on the validation split (meV/Å or meV/atom).

    `fall` is by which part of itself the best error fell over the last third of the time, and `tenfold` between which
    errors a run of ten times the time may end.
    """

    target: str
    fall: float
    falling: bool
    tenfold: tuple[float, float]


def outlook(file: Path) -> Outlook | None:
    """Outlook of the run that wrote a `metrics.csv`; None where it has no validation errors, or too few."""
    if not file.is_file():
        return None
    with file.open(newline="") as source:
        rows = list(csv.DictReader(source))
    for target in TARGETS:
        points = [
            (float(r["seconds"]), float(r[name])) for r in rows if r.get("seconds") and r.get(name := f"val/{target}")
        ]
        if points:
            return fitted_outlook(np.array(points), target)
    return None


def fitted_outlook(points: np.ndarray, target: str) -> Outlook | None:
    """Outlook of a curve (n, 2) of seconds and errors."""
    points = points[np.isfinite(points).all(1) & (points > 0).all(1)]
    if not len(points):
        return None
    seconds, best = points[:, 0], np.minimum.accumulate(points[:, 1])
    end = seconds[-1]
    if (seconds >= end / 10).sum() < FEWEST:
        return None
    fall = 1.0 - best[-1] / np.interp(end * 2 / 3, seconds, best)
    slopes = [_slope(seconds, best, max(end / 10, seconds[0]), last) for last in (end / 2, end)]
    low, high = (float(best[-1] * 10 ** -max(0.0, b)) for b in (max(slopes), min(slopes)))
    return Outlook(target, float(fall), bool(fall > FALLING), (low, high))


def _slope(seconds: np.ndarray, best: np.ndarray, first: float, last: float) -> float:
    """Exponent b of the power law that fits the curve between two times."""
    x = np.linspace(np.log(first), np.log(last), POINTS)
    y = np.interp(np.exp(x), seconds, np.log(best))
    return -float(np.polyfit(x, y, 1)[0])
