"""Models: a short-range descriptor, heads and the long-range layer put together."""

from sognet.model.checkpoint import load_model
from sognet.model.committee import load_committee
from sognet.model.layer_terms import diagnostics, regularization
from sognet.model.sognet import SOGNet

__all__ = ["SOGNet", "diagnostics", "load_committee", "load_model", "regularization"]
