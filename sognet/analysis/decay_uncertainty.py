"""What forces determine about the decay of a kernel: a linear fit of its Gaussians beside what may replace them.

Forces are linear in the weights of a ladder of Gaussians (sognet.long_range.ladder) and in what may make up for them
(sognet.analysis.decay_forces). Of the weights that make a power law r^−p the best one is found first; then each may
change by as much as itself, a Gaussian prior about that power law, and the posterior (Laplace) gives the local exponent
with its standard deviation. To it the spread of leaving out one structure after another is added (jackknife).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from sognet.analysis.decay_forces import ForceColumns
from sognet.long_range.ladder import power_law_weights, slopes
from sognet.long_range.multiplier import COULOMB_CONSTANT

EXPONENTS = np.arange(0.25, 12.01, 0.25)
"""Exponents that are tried."""

PRIOR = 1.0
"""Standard deviation of a weight about the power law, over the weight."""

WIDEST = 0.5
"""Half-width of an interval beyond which an exponent is not determined."""

SHORTEST_RANGE = 1.2
"""Ratio of the ends of the distances within which a local exponent must be determined."""

IRREPLACEABLE = 2.0
"""Squared error without a kernel over that with it, below which the kernel is below the error."""

SMALL_SHARE = 0.01
"""Share of the forces below which a long range that cannot be told from none is called none."""

FEWEST_STRUCTURES = 3
"""Structures, one of which is left out after the other."""

FEWEST_ROWS = 3
"""Force components for each parameter, below which nothing is said."""

MISFIT = 0.2
"""Root mean square of what a power law leaves of ln|g′|, from which on it is none (as in sognet.analysis.findings)."""

ROBUST = 2.0
"""Errors from this many typical ones on count less and less."""

GRID = 80
NORMAL_95 = 1.96
RIDGE = 1e-8


@dataclass(frozen=True)
class DeterminedDecay:
    """What the data determine, of one channel.

    `status` is `found`, `no_power_law`, `none` (no long range), `undetermined` or `hidden`; `exponent` ±
    `exponent_uncertainty` (95 %) is that of g(r) between `r_min` and `r_max` (Å); `strength` the mean of −g′(r)·r² over
    Coulomb's constant; `beyond_short_range` what of the forces nothing of short range can give, and `error` what is
    left of them, RMS in meV/Å; `learned_exponent` the power law that fits the forces of the learned kernel in the same
    way. `reason` says why nothing was fitted. `distances` (n_r,), `local_exponents` and `local_uncertainties` (95 %)
    are the curve behind it.
    """

    status: str
    n_structures: int = 0
    exponent: float | None = None
    exponent_uncertainty: float | None = None
    r_min: float | None = None
    r_max: float | None = None
    strength: float | None = None
    learned_exponent: float | None = None
    beyond_short_range: float | None = None
    error: float | None = None
    reason: str | None = None
    distances: np.ndarray = field(default_factory=lambda: np.zeros(0))
    local_exponents: np.ndarray = field(default_factory=lambda: np.zeros(0))
    local_uncertainties: np.ndarray = field(default_factory=lambda: np.zeros(0))


class Normal(NamedTuple):
    """Least-squares problem of the ladder's weights w, |y|² − 2 b·w + w·S w, after all else is eliminated."""

    square: float
    projection: np.ndarray  # b, (n,)
    matrix: np.ndarray  # S, (n, n)
    rows: float


class Curve(NamedTuple):
    """Local exponents of the posterior with their covariance, and the slope of g."""

    exponents: np.ndarray  # (n_r,)
    covariance: np.ndarray  # (n_r, n_r)
    slope: np.ndarray  # g′, eV/Å


def determined_decay(
    structures: Sequence[ForceColumns], widths: np.ndarray, cutoff: float, r_max: float
) -> DeterminedDecay:
    """Fit of the columns of some structures.

    Parameters
    ----------
    structures : columns of one channel.
    widths : of the ladder, Å.
    cutoff, r_max : Å, between which the exponent is looked for.
    """
    n_others = structures[0].others.shape[1]
    rows = sum(len(s.wanted) for s in structures)
    finite = all(np.isfinite(s.wanted).all() and np.isfinite(s.gaussians).all() for s in structures)
    if reason := _lacking(len(structures), rows, len(widths) + n_others, finite):
        return DeterminedDecay("undetermined", len(structures), reason=reason)
    weights = [np.ones(len(s.wanted)) for s in structures]
    for _ in range(3):
        each = [_gram(s, s.wanted, w) for s, w in zip(structures, weights, strict=True)]
        weights = _robust_weights(structures, np.sum(each, 0), widths, cutoff)
    each = np.array([_gram(s, s.wanted, w) for s, w in zip(structures, weights, strict=True)])
    counts = np.array([w.sum() for w in weights])
    normal = _eliminated(each.sum(0), len(widths), counts.sum())
    exponent, _, square = best_power_law(normal, widths, cutoff)
    of_learned = sum(_gram(s, s.learned, w) for s, w in zip(structures, weights, strict=True))
    learned = best_power_law(_eliminated(of_learned, len(widths), counts.sum()), widths, cutoff)[0]
    forces = np.sqrt(sum(float(w @ s.wanted**2) for s, w in zip(structures, weights, strict=True)) / counts.sum())
    beyond = np.sqrt(max(normal.square - square, 0.0) / counts.sum())
    measured = {
        "n_structures": len(structures),
        "learned_exponent": learned,
        "beyond_short_range": 1000.0 * float(beyond),
        "error": 1000.0 * float(np.sqrt(square / counts.sum())),
    }
    if normal.square < IRREPLACEABLE * square:
        return DeterminedDecay("none" if beyond < SMALL_SHARE * forces else "undetermined", **measured)
    distances = np.geomspace(cutoff, r_max, GRID)
    curve = posterior(normal, widths, cutoff, distances)
    without = [_eliminated(each.sum(0) - g, len(widths), counts.sum() - n) for g, n in zip(each, counts, strict=True)]
    others = np.array([posterior(n, widths, cutoff, distances).exponents for n in without])
    spread = (len(others) - 1) / len(others) * (others - others.mean(0)).T @ (others - others.mean(0))
    covariance = curve.covariance + spread
    band = NORMAL_95 * np.sqrt(np.diag(covariance))
    known = (band <= max(WIDEST, 0.15 * exponent)) & (np.sign(curve.slope) == np.sign(curve.slope[0]))
    end = len(known) if known.all() else int(np.argmin(known))
    curves = {"distances": distances, "local_exponents": curve.exponents, "local_uncertainties": band}
    if end < 2 or distances[end - 1] < min(SHORTEST_RANGE * cutoff, r_max):
        return DeterminedDecay("undetermined", r_min=cutoff, r_max=r_max, **measured, **curves)
    mean = _slope_of_line(np.log(distances[:end]))
    found = float(mean @ curve.exponents[:end])
    half = NORMAL_95 * float(np.sqrt(mean @ covariance[:end, :end] @ mean))
    line = np.polyfit(np.log(distances[:end]), np.log(np.abs(curve.slope[:end])), 1)
    misfit = np.log(np.abs(curve.slope[:end])) - np.polyval(line, np.log(distances[:end]))
    status = "no_power_law" if np.sqrt(np.mean(misfit**2)) > MISFIT or exponent >= EXPONENTS[-1] else "found"
    strength = float(np.mean(-curve.slope[:end] * distances[:end] ** 2)) / COULOMB_CONSTANT
    ends = {"r_min": cutoff, "r_max": float(distances[end - 1])}
    return DeterminedDecay(
        status, exponent=found, exponent_uncertainty=half, strength=strength, **ends, **measured, **curves
    )


def _lacking(n_structures: int, n_components: int, n_parameters: int, finite: bool) -> str | None:
    """Why nothing can be said."""
    if not finite:
        return "forces of the model are not finite"
    if n_structures < FEWEST_STRUCTURES:
        return f"{n_structures} structures with forces are too few, {FEWEST_STRUCTURES} are the least"
    if n_components < FEWEST_ROWS * n_parameters:
        return (
            f"{n_components} components of forces, of {n_structures} structures, are too few for the {n_parameters} "
            f"parameters that may replace each other; {FEWEST_ROWS * n_parameters} are the least"
        )
    return None


def best_power_law(normal: Normal, widths: np.ndarray, cutoff: float) -> tuple[float, float, float]:
    """Exponent, amplitude (eV·Å^p) and squared error of the power law with the least error."""
    shapes = _power_laws(tuple(widths), cutoff)
    projections = shapes @ normal.projection
    norms = np.einsum("pi,ij,pj->p", shapes, normal.matrix, shapes)
    gained = np.divide(projections**2, norms, out=np.zeros_like(norms), where=norms > 0)
    best = int(np.argmax(gained))
    exponent = float(EXPONENTS[best])
    if 0 < best < len(EXPONENTS) - 1:
        low, middle, high = gained[best - 1 : best + 2]  # the middle is the first largest, so the denominator is not 0
        exponent += 0.5 * (EXPONENTS[1] - EXPONENTS[0]) * float((high - low) / (2 * middle - low - high))
    shape = power_law_weights(exponent, widths, cutoff)
    norm = float(shape @ normal.matrix @ shape)
    amplitude = float(shape @ normal.projection) / norm if norm > 0 else 0.0
    return exponent, amplitude, normal.square - amplitude**2 * norm


@lru_cache(maxsize=8)
def _power_laws(widths: tuple[float, ...], cutoff: float) -> np.ndarray:
    """Weights of the exponents that are tried, (n_exponents, n_widths)."""
    return np.array([power_law_weights(p, np.array(widths), cutoff) for p in EXPONENTS])


def posterior(normal: Normal, widths: np.ndarray, cutoff: float, distances: np.ndarray) -> Curve:
    """Local exponents −d ln|g′|/d ln r − 1 where each weight has its prior about the best power law."""
    exponent, amplitude, square = best_power_law(normal, widths, cutoff)
    start = amplitude * power_law_weights(exponent, widths, cutoff)
    scale = PRIOR * np.abs(start)
    variance = square / max(normal.rows - len(widths), 1.0)
    precision = scale[:, None] * normal.matrix * scale / variance + np.eye(len(widths))
    covariance = np.linalg.inv(precision)
    step = covariance @ (scale * (normal.projection - normal.matrix @ start)) / variance
    of_weights = slopes(widths, distances) * scale  # change of g′ by each weight's prior deviation
    slope = slopes(widths, distances) @ start + of_weights @ step
    x = np.log(distances)
    local = -np.gradient(np.log(np.abs(slope)), x) - 1
    by_weights = -np.gradient(of_weights / slope[:, None], x, axis=0)
    return Curve(local, by_weights @ covariance @ by_weights.T, slope)


def _gram(structure: ForceColumns, wanted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Products of all columns, Gaussians first and what is wanted last."""
    columns = np.concatenate([structure.gaussians, structure.others, wanted[:, None]], 1)
    return columns.T @ (weights[:, None] * columns)


def _eliminated(gram: np.ndarray, n: int, rows: float) -> Normal:
    """The problem of the n Gaussians where the others take the values that are best for them."""
    inverse = _inverse(gram[n:-1, n:-1])
    kept = np.r_[0:n, len(gram) - 1]
    across = gram[np.ix_(kept, np.arange(n, len(gram) - 1))]
    reduced = gram[np.ix_(kept, kept)] - across @ inverse @ across.T
    return Normal(float(reduced[-1, -1]), reduced[:n, -1], reduced[:n, :n], rows - len(inverse))


def _inverse(matrix: np.ndarray) -> np.ndarray:
    scale = np.sqrt(np.diag(matrix))
    scale = np.where(scale > 0, scale, 1.0)
    return np.linalg.inv(matrix / np.outer(scale, scale) + RIDGE * np.eye(len(matrix))) / np.outer(scale, scale)


def _robust_weights(
    structures: Sequence[ForceColumns], gram: np.ndarray, widths: np.ndarray, cutoff: float
) -> list[np.ndarray]:
    """Weight of each component by the errors of its atom's forces, as of Student's t distribution."""
    n = len(widths)
    exponent, amplitude, _ = best_power_law(_eliminated(gram, n, 1.0), widths, cutoff)
    weights = amplitude * power_law_weights(exponent, widths, cutoff)
    others = _inverse(gram[n:-1, n:-1]) @ (gram[n:-1, -1] - gram[n:-1, :n] @ weights)
    errors = [s.wanted - s.gaussians @ weights - s.others @ others for s in structures]
    squares = [np.square(e).reshape(-1, 3).mean(1) for e in errors]
    typical = float(np.median(np.concatenate(squares)))
    if typical == 0:
        return [np.ones(len(e)) for e in errors]
    return [np.repeat(1 / (1 + square / (ROBUST**2 * typical)), 3) for square in squares]


def _slope_of_line(x: np.ndarray) -> np.ndarray:
    """Weights (n,) with which local exponents at x = ln r make that of the power law fitted to ln|g′|."""
    n = len(x)
    if n < 3:
        return np.full(n, 1 / n)
    spacing = np.gradient(x)
    integral = np.cumsum(np.eye(n) * spacing, 0) - 0.5 * np.eye(n) * spacing  # ln|g′| from its derivative
    centred = (x - x.mean()) / np.square(x - x.mean()).sum()
    weights = centred @ integral
    return weights / weights.sum()
