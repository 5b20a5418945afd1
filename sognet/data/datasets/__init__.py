"""Data sets: a user's own files, published sets, and generated ones. Each is a function that returns `Splits`."""

from sognet.data.datasets.files import from_files
from sognet.data.datasets.generators.aqueous import kf_water
from sognet.data.datasets.generators.charged_systems import charge_transfer
from sognet.data.datasets.generators.ions import electrolyte
from sognet.data.datasets.generators.melt import molten_salt
from sognet.data.datasets.generators.molecule_pairs import ion_pairs
from sognet.data.datasets.manual_download import from_manual_download, manual_download_sets
from sognet.data.datasets.mixtures import mixture
from sognet.data.datasets.published import dimers, dipeptides, water
from sognet.data.streaming.sharded import stream

DATA_SETS = {
    f.__name__: f
    for f in (
        charge_transfer,
        dimers,
        dipeptides,
        electrolyte,
        from_files,
        from_manual_download,
        ion_pairs,
        kf_water,
        mixture,
        molten_salt,
        stream,
        water,
    )
}
"""Functions that a dataset group may name."""

__all__ = [
    "DATA_SETS",
    "charge_transfer",
    "dimers",
    "dipeptides",
    "electrolyte",
    "from_files",
    "from_manual_download",
    "ion_pairs",
    "kf_water",
    "manual_download_sets",
    "mixture",
    "molten_salt",
    "stream",
    "water",
]
