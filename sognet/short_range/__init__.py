"""Short-range descriptors: what each atom sees within a cutoff of a few Å."""

from sognet.short_range.cace import CACE
from sognet.short_range.deep_potential import DeepPotential

__all__ = ["CACE", "DeepPotential"]
