"""SOG-Net: machine-learning interatomic potentials with a learned long-range interaction."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sognet.model import SOGNet, load_model
    from sognet.simulation import SOGNetCalculator, descriptors, predict

__version__ = "0.1.0"
__all__ = ["SOGNet", "SOGNetCalculator", "descriptors", "load_model", "predict"]

_HOMES = {
    "SOGNet": "sognet.model",
    "SOGNetCalculator": "sognet.simulation",
    "descriptors": "sognet.simulation",
    "load_model": "sognet.model",
    "predict": "sognet.simulation",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for: torch takes seconds, which the tab key and --help need not wait for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'sognet' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
