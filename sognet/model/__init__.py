"""Models: a short-range descriptor, heads and the long-range layer put together."""

from sognet.model.checkpoint import load_model
from sognet.model.committee import load_committee
from sognet.model.sognet import SOGNet

__all__ = ["SOGNet", "load_committee", "load_model"]
