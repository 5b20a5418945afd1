"""Spread of the reference values, which says what an error means."""

from collections.abc import Sequence

import numpy as np

from sognet.analysis.predictions import Prediction, labelled, target_error
from sognet.targets import TARGETS, Target


def spreads(predictions: Sequence[Prediction]) -> dict[str, float]:
    """Standard deviation of the reference values and coefficient of determination of the predictions.

    `energy_spread` (meV/atom, of energies without the reference energies of the atoms), `force_spread` (meV/Å, of
    components), `stress_spread` (meV/Å³) and `energy_r2`, `force_r2`, `stress_r2`, where R² = 1 − ⟨Δ²⟩/spread²: 1 is
    perfect, 0 is what the mean of the references predicts; likewise of further targets. Of targets with at least two
    values that differ.
    """
    found = {}
    for target in TARGETS.values():
        known = labelled(target, predictions)
        if not known:
            continue
        reference = np.concatenate([_reference(target, p) for p in known])
        errors = np.concatenate([target_error(target, p).ravel() for p in known])
        if (variance := float(reference.var())) > 0:
            found[f"{target.label}_spread"] = target.scale * variance**0.5
            found[f"{target.label}_r2"] = 1.0 - float(np.square(errors).mean()) / variance
    return found


def _reference(target: Target, prediction: Prediction) -> np.ndarray:
    """Values that the errors are errors of; energies without the reference energies of the atoms."""
    values = np.asarray(target.reference(prediction.structure), dtype=float)
    if target.name == "energy":
        values = values - prediction.energy_of_atoms
    values = values if target.per_atom else values[None]
    return target.normalized(values, np.full(len(values), len(prediction.structure))).ravel()
