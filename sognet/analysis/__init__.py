"""What training and evaluation share: predictions, errors, kernel decay, uncertainty, figures, reports."""

from sognet.analysis.model_report import report
from sognet.analysis.predictions import Prediction, errors, predict
from sognet.long_range.decay import Decay, fitted_decay

__all__ = ["Decay", "Prediction", "errors", "fitted_decay", "predict", "report"]
