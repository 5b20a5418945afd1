"""SOG-Net: machine-learning interatomic potentials with a learned long-range interaction."""

from sognet.model import SOGNet, load_model
from sognet.simulation import SOGNetCalculator

__version__ = "0.1.0"
__all__ = ["SOGNet", "SOGNetCalculator", "load_model"]
