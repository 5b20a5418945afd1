"""Simulation: trained models as calculators."""

from sognet.simulation.calculator import SOGNetCalculator

__all__ = ["SOGNetCalculator"]
