"""Errors of a frozen baseline alone, beside those of the model that adds to it."""

from collections.abc import Mapping, Sequence

import numpy as np

from sognet.analysis.predictions import Prediction
from sognet.data.baseline_labels import residual
from sognet.model import SOGNet
from sognet.targets import TARGETS


def baseline_errors(model: SOGNet, by_split: Mapping[str, Sequence[Prediction]]) -> dict[str, dict[str, float]]:
    """`force_rmse` of the baseline in meV/Å by split and for `all`, of structures that bring what it gives; empty
    without one. Its energies are of another reference.
    """
    if model.baseline is None:
        return {}
    identity, found = model.baseline.identity, {}
    together = [prediction for members in by_split.values() for prediction in members]
    for split, members in {**by_split, "all": together}.items():
        known = [p.structure for p in members if p.structure.forces is not None and identity in p.structure.baselines]
        if known:
            errors = np.concatenate([residual(s, identity).forces for s in known])
            found[split] = {"force_rmse": TARGETS["forces"].scale * float(np.sqrt(np.square(errors).mean()))}
    return found
