"""What the energies of a set of predictions say together: how short and long range share them, and a common offset."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from sognet.analysis.predictions import Prediction, labelled
from sognet.targets import TARGETS

PER_ELEMENT = 3
"""Structures for each element from which on an offset of each element is told from errors."""


def long_range_energy_share(predictions: Sequence[Prediction]) -> float:
    """Σ|E_LR| / Σ|E_SR + E_LR| over structures: how much of the interaction energy the long-range layer carries."""
    long_range = sum(abs(p.energy_long_range) for p in predictions)
    total = sum(abs(p.energy_short_range + p.energy_long_range) for p in predictions)
    return long_range / total if total else 0.0


def long_range_variation(predictions: Sequence[Prediction]) -> dict[str, float]:
    """How the long-range energy changes from structure to structure, beside the whole; empty without changes.

    `energy_variation` is the standard deviation of E_LR over that of E_SR + E_LR, per atom and within compositions
    where several structures share one. Beyond 1 the short range undoes a part; `energy_correlation` is that of
    E_SR with E_LR, at most −√(1 − 1/variation²) then. `energy_cancelled` is the share of the changes of E_LR that
    E_SR takes back, −Σ E_SR E_LR / Σ E_LR², within 0 and 1.
    """
    parts = np.array([(p.energy_short_range, p.energy_long_range) for p in predictions])
    parts = parts / np.array([len(p.structure) for p in predictions])[:, None]
    parts = _within(parts, [np.sort(p.structure.numbers).tobytes() for p in predictions])
    whole = parts.sum(1)
    if not len(parts) or not parts[:, 1].any() or not whole.any():
        return {}
    squares = np.square(parts).sum(0)
    correlation = float(parts[:, 0] @ parts[:, 1] / np.sqrt(squares.prod())) if squares.all() else 0.0
    return {
        "energy_variation": float(np.sqrt(squares[1] / (whole @ whole))),
        "energy_correlation": correlation,
        "energy_cancelled": float(np.clip(-(parts[:, 0] @ parts[:, 1]) / squares[1], 0.0, 1.0)),
    }


def energy_offset(predictions: Sequence[Prediction]) -> dict[str, float] | None:
    """What of the energy errors is one constant of each element: `per_atom`, the mean of prediction less reference in
    eV, and `rmse_without`, the error in meV/atom that is left; None where there are too few structures to tell.
    """
    known = labelled(TARGETS["energy"], predictions)
    elements = sorted({int(z) for p in known for z in np.unique(p.structure.numbers)})
    if len(known) <= PER_ELEMENT * len(elements):
        return None
    counts = np.array([[(p.structure.numbers == z).sum() for z in elements] for p in known], dtype=float)
    atoms = counts.sum(1)
    errors = np.array([p.energy - p.structure.energy for p in known]) / atoms
    constants, _, rank, _ = np.linalg.lstsq(counts / atoms[:, None], errors, rcond=1e-6)
    rest = errors - counts @ constants / atoms
    return {"per_atom": float(errors.mean()), "rmse_without": 1000 * float(np.sqrt(rest @ rest / (len(rest) - rank)))}


def _within(values: np.ndarray, groups: Sequence[bytes]) -> np.ndarray:
    """Values (n, k) less the mean of their group, of groups of two or more; less the mean of all if there are none."""
    members: defaultdict[bytes, list[int]] = defaultdict(list)
    for place, group in enumerate(groups):
        members[group].append(place)
    shared = [values[places] - values[places].mean(0) for places in members.values() if len(places) > 1]
    return np.concatenate(shared) if shared else values - values.mean(0)
