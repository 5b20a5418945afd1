"""Spread of the reference values, which says what an error means."""

from collections.abc import Sequence

import numpy as np

from sognet.analysis.predictions import Prediction


def spreads(predictions: Sequence[Prediction]) -> dict[str, float]:
    """Standard deviation of the reference values and coefficient of determination of the predictions.

    `energy_spread` (meV/atom, of energies without the reference energies of the atoms), `force_spread` (meV/Å, of
    components), `stress_spread` (meV/Å³) and `energy_r2`, `force_r2`, `stress_r2`, where R² = 1 − ⟨Δ²⟩/spread²: 1 is
    perfect, 0 is what the mean of the references predicts. Of targets with at least two values that differ.
    """
    pairs = {
        "energy": [
            (
                (p.structure.energy - p.energy_of_atoms) / len(p.structure),
                (p.energy - p.energy_of_atoms) / len(p.structure),
            )
            for p in predictions
            if p.structure.energy is not None
        ],
        "force": [(p.structure.forces, p.forces) for p in predictions if _both(p.structure.forces, p.forces)],
        "stress": [(p.structure.stress, p.stress) for p in predictions if _both(p.structure.stress, p.stress)],
    }
    found = {}
    for target, values in pairs.items():
        if not values:
            continue
        reference, predicted = (np.concatenate([np.ravel(v[i]) for v in values]).astype(float) for i in (0, 1))
        if (variance := float(reference.var())) > 0:
            found[f"{target}_spread"] = 1000.0 * variance**0.5
            found[f"{target}_r2"] = 1.0 - float(np.square(predicted - reference).mean()) / variance
    return found


def _both(reference: np.ndarray | None, predicted: np.ndarray | None) -> bool:
    return reference is not None and predicted is not None
