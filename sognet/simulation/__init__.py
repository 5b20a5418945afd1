"""Simulation: trained models as calculators, and for lists of structures."""

from sognet.simulation.batched import descriptors, predict
from sognet.simulation.calculator import SOGNetCalculator

__all__ = ["SOGNetCalculator", "descriptors", "predict"]
