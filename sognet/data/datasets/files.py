"""The user's own data: `dataset=files dataset.path=mine.xyz`."""

import logging
from collections.abc import Sequence
from pathlib import Path

from sognet.data.io.locate import Paths
from sognet.data.io.readers import read_structures
from sognet.data.io.units import Units
from sognet.data.splits import Splits, split_off
from sognet.data.structure import Keys
from sognet.errors import InputError

logger = logging.getLogger(__name__)

SHOWN = 5
"""Skipped structures that are named in the log."""


def from_files(
    path: Paths | None,
    val_path: Paths | None = None,
    test_path: Paths | None = None,
    val_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
    val_seed: int | None = None,
    format: str | None = None,
    energy_key: str | None = "energy",
    forces_key: str | None = "forces",
    stress_key: str | None = "stress",
    charge_key: str | None = "charge",
    energy_unit: str = "eV",
    length_unit: str = "Å",
    force_unit: str | None = None,
    stress_unit: str | None = None,
    skip_invalid: bool = False,
    virial_key: str | None = None,
    stress_sign: int = 1,
    stress_order: str = "voigt",
    pbc: Sequence[bool] | None = None,
    partial_labels: bool = True,
) -> Splits:
    """Structures of files, with the other splits from files of their own or split off at random.

    Parameters
    ----------
    path, val_path, test_path : a file, a pattern (`runs/*/OUTCAR`), a folder or a list of these, in any of the formats
        of iter_structures; ASE's `file.xyz@:800` selects frames.
    val_fraction, test_fraction : parts of `path` to split off where there is no `val_path` or `test_path`.
    seed : of the random split.
    val_seed : of another draw of the validation structures, with the same test structures.
    format : ASE's name of the format, `cp2k-output`, `deepmd-hdf5` or `h5md`; by default guessed.
    energy_key, forces_key, stress_key, charge_key : names of the reference values; null: do not read.
    energy_unit, length_unit, force_unit, stress_unit : see Units.
    skip_invalid : leave out structures that cannot be used instead of raising; how many and why is logged and kept in
        `Splits.skipped`.
    virial_key : name of the virial, in the unit of the energy, which the stress is made of where there is one.
    stress_sign : 1 for ASE's sign, -1 for VASP's; see Units.
    stress_order : of six values, `voigt` or `vasp`; see Keys.
    pbc : periodic directions in place of what the file says: [true, true, true] repeats slabs in all three.
    partial_labels : use structures that lack the energy or the forces which others of the same path have; see
        read_structures. Structures may lack the stress and further targets in any case.

    Raises
    ------
    InputError : no path, or a file that cannot be read.
    """
    if not path:
        raise InputError("dataset=files needs dataset.path=<file>")
    keys = Keys(energy_key, forces_key, stress_key, charge_key, virial_key, stress_order)
    if pbc is not None and (len(pbc) != 3 or not all(isinstance(p, bool) for p in pbc)):
        raise InputError(f"dataset.pbc must be three times true or false, as [true,true,true], got {pbc}")
    units = Units(energy_unit, length_unit, force_unit, stress_unit, stress_sign)
    skipped: list[str] | None = [] if skip_invalid else None
    train, val, test = split_off(
        read_structures(path, keys, format, units, skipped, pbc=pbc, partial_labels=partial_labels),
        0.0 if val_path else val_fraction,
        0.0 if test_path else test_fraction,
        seed,
        val_seed,
    )
    if val_path:
        val = read_structures(val_path, keys, format, units, skipped, (), pbc, partial_labels)
    if test_path:
        test = read_structures(test_path, keys, format, units, skipped, (), pbc, partial_labels)
    if skipped:
        more = f" and {len(skipped) - SHOWN} more" if len(skipped) > SHOWN else ""
        logger.warning("skipped %d: %s%s", len(skipped), "; ".join(skipped[:SHOWN]), more)
    return Splits(name_of(path), train, val, test, skipped=skipped or [])


def name_of(path: Paths) -> str:
    """Name of a data set: that of its file or folder without what follows the first dot, `_and_more` for a list."""
    first, *others = [path] if isinstance(path, str | Path) else path
    name = Path(first).name.split("@")[0].rsplit(".", 1)[0]
    return f"{name}_and_more" if others else name
