"""Simulation: trained models as calculators, and for lists of structures."""

from sognet.simulation.batched import descriptors, predict
from sognet.simulation.calculator import SOGNetCalculator
from sognet.simulation.evaluator import Evaluator

__all__ = ["Evaluator", "SOGNetCalculator", "descriptors", "predict"]
