"""Training on what a frozen baseline leaves of energies, forces and stresses."""

import logging
from collections.abc import Sequence

import numpy as np
from omegaconf import DictConfig

from sognet.analysis.numbers import readable
from sognet.data import Splits, Structure
from sognet.data.baseline_labels import Residuals
from sognet.model import SOGNet
from sognet.model.baseline_evaluation import evaluate_baseline
from sognet.model.checkpoint import as_device

logger = logging.getLogger(__name__)

SAMPLE = 2000
"""Training structures, evenly spaced, from which it is said what the baseline leaves."""


def with_baseline(config: DictConfig, baseline: SOGNet | None, splits: Splits) -> Sequence[Structure]:
    """Give the structures what a baseline says of them; returns the training structures with what it leaves of their
    energies, forces and stresses, or as they are without one.

    Raises
    ------
    InputError : see `evaluate_baseline`.
    """
    if baseline is None:
        return splits.train
    device = as_device("cpu" if config.trainer.accelerator == "cpu" else "auto")
    evaluate_baseline(baseline, splits, config.paths.data, device)
    left = Residuals(splits.train, baseline.identity)
    forces = [s.forces.ravel() for s in left[:: -(-len(left) // SAMPLE)] if s.forces is not None]
    if forces:
        rms = 1000.0 * float(np.sqrt(np.square(np.concatenate(forces)).mean()))
        logger.info("the baseline leaves %s meV/Å of the forces of the training structures", readable(rms))
    return left
