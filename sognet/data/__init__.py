"""Data: files and published sets -> structures -> periodic graphs -> batches. Knows no model.

Names are imported where they are asked for, so that a calculator loads neither Lightning nor readers of files.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sognet.data.datasets import (
        DATA_SETS,
        charge_transfer,
        dimers,
        dipeptides,
        electrolyte,
        from_files,
        from_manual_download,
        ion_pairs,
        kf_water,
        manual_download_sets,
        mixture,
        molten_salt,
        stream,
        water,
    )
    from sognet.data.graph import build_graph
    from sognet.data.io.readers import iter_structures, read_structures
    from sognet.data.io.units import Units
    from sognet.data.loading.datamodule import Stage, StructureDataModule
    from sognet.data.split_statistics import Statistics, cached_statistics, statistics
    from sognet.data.splits import Splits, split_off
    from sognet.data.structure import Keys, Structure

_HOMES = {
    "sognet.data.datasets": (
        "DATA_SETS charge_transfer dimers dipeptides electrolyte from_files from_manual_download ion_pairs kf_water "
        "manual_download_sets mixture molten_salt stream water"
    ),
    "sognet.data.graph": "build_graph",
    "sognet.data.io.readers": "iter_structures read_structures",
    "sognet.data.io.units": "Units",
    "sognet.data.loading.datamodule": "Stage StructureDataModule",
    "sognet.data.split_statistics": "Statistics cached_statistics statistics",
    "sognet.data.splits": "Splits split_off",
    "sognet.data.structure": "Keys Structure",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

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
    "cached_statistics",
    "charge_transfer",
    "dimers",
    "dipeptides",
    "electrolyte",
    "from_files",
    "from_manual_download",
    "ion_pairs",
    "iter_structures",
    "kf_water",
    "manual_download_sets",
    "mixture",
    "molten_salt",
    "read_structures",
    "split_off",
    "statistics",
    "stream",
    "water",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'sognet.data' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)
