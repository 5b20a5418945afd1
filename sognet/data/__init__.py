"""Data: files and published sets -> structures -> periodic graphs -> batches. Knows no model."""

from sognet.data.aqueous import kf_water
from sognet.data.by_hand import by_hand, sets_by_hand
from sognet.data.datamodule import Stage, StructureDataModule
from sognet.data.files import from_files
from sognet.data.graph import build_graph
from sognet.data.ions import electrolyte
from sognet.data.mixture import mixture
from sognet.data.published import dimers, dipeptides, water
from sognet.data.readers import iter_structures, read_structures
from sognet.data.splits import Splits
from sognet.data.statistics import Statistics, cached_statistics, statistics
from sognet.data.stream import stream
from sognet.data.structure import Keys, Structure
from sognet.data.units import Units

DATA_SETS = {
    f.__name__: f for f in (by_hand, dimers, dipeptides, electrolyte, from_files, kf_water, mixture, stream, water)
}
"""Functions that a dataset group may name."""

__all__ = [
    "DATA_SETS",
    "Keys",
    "Splits",
    "Stage",
    "Statistics",
    "Structure",
    "StructureDataModule",
    "Units",
    "build_graph",
    "by_hand",
    "cached_statistics",
    "dimers",
    "dipeptides",
    "electrolyte",
    "from_files",
    "iter_structures",
    "kf_water",
    "mixture",
    "read_structures",
    "sets_by_hand",
    "statistics",
    "stream",
    "water",
]
