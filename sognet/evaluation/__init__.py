"""Evaluation: checkpoint -> predictions, errors, figures."""

from sognet.evaluation.kernel import Decay, fitted_decay
from sognet.evaluation.predictions import Prediction, errors, predict
from sognet.evaluation.report import report

__all__ = ["Decay", "Prediction", "errors", "fitted_decay", "predict", "report"]
