"""Calibration of a committee: whether its uncertainty is as large as its error.

The committee's mean ȳ with the uncertainty σ is read as a Gaussian of the reference y, and Δ = y − ȳ is its error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import rankdata

from sognet.analysis.numbers import readable
from sognet.analysis.predictions import Prediction

POINTS_PER_BIN = 10
MOST_BINS = 20


@dataclass(frozen=True)
class Calibration:
    """How uncertainties σ and errors Δ go together; energies in meV/atom, forces per component in meV/Å.

    `correlation` is Pearson's between σ and |Δ| (of an atom's force: the root mean square of its three components) and
    `rank_correlation` Spearman's, None where either does not vary. `scale` is the factor α that makes the uncertainties
    most likely, α² = ⟨Δ²/σ²⟩ (F. Musil et al., J. Chem. Theory Comput. 15, 906 (2019), where the likelihood is that of
    Gaussians of width ασ): 1 for a calibrated committee, larger where it is too sure of itself.
    `negative_log_likelihood` is ⟨½ Δ²/σ² + ½ ln 2πσ²⟩ (B. Lakshminarayanan et al., NeurIPS 2017), and
    `scaled_negative_log_likelihood` the same with ασ, ½ + ⟨½ ln 2πα²σ²⟩, None where there is no error at all.
    Structures and atoms on which all members agree exactly cannot be read that way; `n_agreed` of them are left out.
    """

    n: int
    n_agreed: int
    rms_uncertainty: float
    rms_error: float
    correlation: float | None
    rank_correlation: float | None
    scale: float
    negative_log_likelihood: float
    scaled_negative_log_likelihood: float | None


def calibration(uncertainty: np.ndarray, error: np.ndarray) -> Calibration | None:
    """Calibration of uncertainties (n,) against the root mean square errors (n,) of what they stand for.

    None where fewer than two uncertainties are larger than zero.
    """
    used = uncertainty > 0
    n_agreed = int((~used).sum())
    uncertainty, error = uncertainty[used], error[used]
    if len(uncertainty) < 2:
        return None
    scale = float(np.sqrt(np.square(error / uncertainty).mean()))
    width = np.log(2 * np.pi * np.square(uncertainty)).mean() / 2
    return Calibration(
        n=len(uncertainty),
        n_agreed=n_agreed,
        rms_uncertainty=_root_mean_square(uncertainty),
        rms_error=_root_mean_square(error),
        correlation=_correlation(uncertainty, error),
        rank_correlation=_correlation(rankdata(uncertainty), rankdata(error)),
        scale=scale,
        negative_log_likelihood=float(scale**2 / 2 + width),
        scaled_negative_log_likelihood=float(0.5 + np.log(scale) + width) if scale > 0 else None,
    )


def binned(uncertainty: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Root mean square uncertainty and error (n_bins, 2) of bins with equally many points, by rising uncertainty.

    The reliability diagram of regression (D. Levi et al., Sensors 22, 5540 (2022)); calibrated uncertainties lie on the
    diagonal. As many bins as leave ten points in each, at most twenty, at least one.
    """
    used = uncertainty > 0
    order = np.argsort(uncertainty[used], kind="stable")
    if not len(order):
        return np.zeros((0, 2))
    n_bins = int(np.clip(len(order) // POINTS_PER_BIN, 1, MOST_BINS))
    bins = np.array_split(order, n_bins)
    return np.array([[_root_mean_square(x[used][b]) for x in (uncertainty, error)] for b in bins])


def energy_pairs(predictions: Sequence[Prediction]) -> tuple[np.ndarray, np.ndarray]:
    """Uncertainty and error of the energies of a committee, in meV/atom, of the structures that have a reference."""
    labelled = [p for p in predictions if p.structure.energy is not None]
    n_atoms = np.array([len(p.structure) for p in labelled])
    uncertainty = np.array([p.energy_uncertainty for p in labelled], dtype=float)
    error = np.array([abs(p.energy - p.structure.energy) for p in labelled], dtype=float)
    return 1000.0 * uncertainty / n_atoms, 1000.0 * error / n_atoms


def force_pairs(predictions: Sequence[Prediction]) -> tuple[np.ndarray, np.ndarray]:
    """Uncertainty and root mean square error of the forces on the atoms, in meV/Å."""
    labelled = [p for p in predictions if p.structure.forces is not None]
    if not labelled:
        return np.zeros(0), np.zeros(0)
    uncertainty = np.concatenate([p.forces_uncertainty for p in labelled])
    difference = np.concatenate([p.forces - p.structure.forces for p in labelled])
    return 1000.0 * uncertainty, 1000.0 * np.sqrt(np.square(difference).mean(1))


def print_calibration(by_split: Mapping[str, Mapping[str, Any]], console: Console | None = None) -> None:
    """Table of calibrations as a summary holds them, by split and for energy and forces."""
    title = "calibration: RMS uncertainty and error (meV/atom, meV/Å), correlations, scale"
    table = Table(title=title, title_justify="left")
    table.add_column("split")
    table.add_column("of")
    shown = {
        "rms_uncertainty": ("σ", 4),
        "rms_error": ("error", 4),
        "correlation": ("r", 2),
        "rank_correlation": ("rank r", 2),
        "scale": ("scale", 3),
        "negative_log_likelihood": ("NLL", 4),
        "scaled_negative_log_likelihood": ("scaled NLL", 4),
    }
    for name, _ in shown.values():
        table.add_column(name, justify="right")
    for split, found in by_split.items():
        for target, numbers in found.items():
            values = (readable(numbers[key], digits) for key, (_, digits) in shown.items())
            table.add_row(split, target, *values)
    if table.rows:
        (console or Console()).print(table)


def _root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values).mean()))


def _correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])
