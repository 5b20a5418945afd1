"""Published data sets of the method's papers, read from the registry's files."""

from collections.abc import Sequence
from pathlib import Path

from sognet.data.datasets.download import fetch, registry
from sognet.data.io.readers import read_structures
from sognet.data.splits import Splits, split_off
from sognet.data.structure import Keys
from sognet.errors import InputError

PAIRS = {"CC": 0, "CA": 2, "PA": 3, "CP": 4, "PP": 5, "AA": 6}
"""Number of each pair of charged (C), polar (P) and apolar (A) molecules in the file names."""


def dimers(
    pair: str,
    split: str = "random",
    val_fraction: float = 0.0,
    test_fraction: float = 0.1,
    seed: int = 0,
    val_seed: int | None = None,
    root: str | None = None,
) -> Splits:
    """Dimers of charged, polar and apolar molecules at 13 separations in a 30 Å cell (BioFragment database, HSE06).

    [LODE dimers] Huguenin-Dumittan et al., J. Phys. Chem. Lett. 14, 9612 (2023). The total charge of a pair is the
    sum of its molecules'. `info` holds `distance` (Å) and the isolated molecules' energies `energyA`, `energyB` (eV).

    Parameters
    ----------
    pair : CC, CP, PP, CA, PA or AA.
    split : "random" (by fractions of the 13) or "extrapolate" (train on the 10 near, test on the 3 far).
    val_fraction, test_fraction, seed, val_seed : of the random split, see split_off.
    root : see registry.fetch.
    """
    if pair not in PAIRS:
        raise InputError(f"dataset.pair must be one of {', '.join(PAIRS)}, got {pair!r}")
    near, far = (read_structures(fetch(f"dimers/{s}-id{PAIRS[pair]}.xyz", root)) for s in ("train", "test"))
    for structure in near + far:
        structure.charge = float(structure.info["chargeA"] + structure.info["chargeB"])
    if split == "extrapolate":
        return Splits(f"dimers-{pair}", train=near, test=far)
    if split != "random":
        raise InputError(f"dataset.split must be random or extrapolate, got {split!r}")
    return Splits(f"dimers-{pair}", *split_off(near + far, val_fraction, test_fraction, seed, val_seed))


def dipeptides(splits: Sequence[str] = ("train", "val", "test"), root: str | None = None) -> Splits:
    """Polar dipeptides of SPICE without periodicity, in the published splits.

    The published archive names the forces `force`. Per atom `mbi_charges` (e); `dipole` (e·Å), `quadrupole` (e·Å²).

    Parameters
    ----------
    splits : which of the published splits to read.
    root : see registry.fetch.
    """
    names = {s: f"dipeptides/spice-dipep-dipolar_{s}.xyz" for s in splits}
    parts = {s: read_structures(fetch(name, root), Keys(forces="force")) for s, name in names.items()}
    return Splits("dipeptides", **parts)


def water(
    val_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
    val_seed: int | None = None,
    root: str | None = None,
) -> Splits:
    """Liquid water, 64 molecules in a 12.44 Å cell: the 320 frames of DeePMD-kit's example, split at random."""
    files = [fetch(n, root) for n, row in registry().items() if row["dataset"] == "water" and row["split"] == "train"]
    systems = sorted({Path(f).parent for f in files if f.name == "type.raw"})
    structures = [s for system in systems for s in read_structures(system)]
    return Splits("water", *split_off(structures, val_fraction, test_fraction, seed, val_seed))
