"""Data sets: a user's own files, published sets, and generated ones. Each is a function that returns `Splits`."""

from sognet.data.datasets.files import from_files
from sognet.data.datasets.generators.aqueous import kf_water
from sognet.data.datasets.generators.ions import electrolyte
from sognet.data.datasets.manual_download import by_hand, sets_by_hand
from sognet.data.datasets.mixtures import mixture
from sognet.data.datasets.published import dimers, dipeptides, water
from sognet.data.streaming.sharded import stream

DATA_SETS = {
    f.__name__: f for f in (by_hand, dimers, dipeptides, electrolyte, from_files, kf_water, mixture, stream, water)
}
"""Functions that a dataset group may name."""

__all__ = [
    "DATA_SETS",
    "by_hand",
    "dimers",
    "dipeptides",
    "electrolyte",
    "from_files",
    "kf_water",
    "mixture",
    "sets_by_hand",
    "stream",
    "water",
]
