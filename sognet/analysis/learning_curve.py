"""What more time would give, estimated from the validation errors of one run.

The end of a run is flat because its learning rate has fallen, so the curve is read in the middle, between a third and
two thirds of the time, as a power law e ∝ t^(−b). The estimate is a range, from half to twice this b, with bounds,
since short runs are steeper than what follows. Three runs of 7 to 104 s on alloys and water had b = 0.53, 0.12 and
0.30 in the middle; runs of ten times the time (water: 8.5 times) ended as b = 0.22, 0.19 and 0.49 says, all within
their ranges.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

TARGETS = ("force_rmse", "energy_rmse")

FEWEST = 8
"""Validations between a third and two thirds of the time, without which nothing is said."""

STEEPEST = (0.5, 0.2)
"""Largest exponents that are believed, for the lower and the upper end of the range."""

FLATTEST = 0.03
"""Exponent below which an error does not fall."""


@dataclass(frozen=True)
class Outlook:
    """Of the error `target` on the validation split (meV/Å or meV/atom).

    `end` is the error at the end (the median of the last twentieth of the validations), `exponent` the b of the middle
    of the run, `fall` the part of itself by which the error fell there, and `tenfold` the range in which a run of ten
    times the time may end.
    """

    target: str
    end: float
    exponent: float
    fall: float
    falling: bool
    tenfold: tuple[float, float]


def outlook(file: Path) -> Outlook | None:
    """Outlook of the run that wrote a `metrics.csv`; None where it has no validation errors, or too few."""
    if not file.is_file():
        return None
    with file.open(newline="") as source:
        rows = list(csv.DictReader(source))
    seconds = {row["epoch"]: float(row["seconds"]) for row in rows if row.get("seconds")}
    for target in TARGETS:
        name = f"val/{target}"
        validated = [row for row in rows if row.get(name) and row["epoch"] in seconds]
        points = [(seconds[row["epoch"]], float(row[name])) for row in validated]
        if points:
            return fitted_outlook(np.array(points), target)
    return None


def fitted_outlook(points: np.ndarray, target: str) -> Outlook | None:
    """Outlook of a curve (n, 2) of seconds and errors."""
    points = points[np.isfinite(points).all(1) & (points > 0).all(1)]
    if not len(points):
        return None
    seconds, errors = points.T
    middle = (seconds >= seconds[-1] / 3) & (seconds <= seconds[-1] * 2 / 3)
    if middle.sum() < FEWEST:
        return None
    exponent = -float(np.polyfit(np.log(seconds[middle]), np.log(errors[middle]), 1)[0])
    falling = exponent > FLATTEST
    end = float(np.median(errors[-max(1, len(errors) // 20) :]))
    factors = zip((2.0, 0.5), STEEPEST, strict=True)
    believed = [min(most, exponent * factor) if falling else 0.0 for factor, most in factors]
    low, high = (end * 10**-b for b in believed)
    return Outlook(target, end, exponent, 1 - 2**-exponent, falling, (low, high))
