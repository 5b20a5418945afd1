"""The user's own data: `dataset=files dataset.path=mine.xyz`."""

from pathlib import Path

from sognet.data.readers import read_structures
from sognet.data.splits import Splits, split_off
from sognet.data.structure import Keys
from sognet.errors import InputError


def from_files(
    path: str,
    val_path: str | None = None,
    test_path: str | None = None,
    val_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
    format: str | None = None,
    energy_key: str | None = "energy",
    forces_key: str | None = "forces",
    stress_key: str | None = "stress",
    charge_key: str | None = "charge",
) -> Splits:
    """Structures of a file, with the other splits from files of their own or split off at random.

    Parameters
    ----------
    path, val_path, test_path : files in any format of ASE, or DeePMD-kit folders; ASE's `file.xyz@:800` selects frames.
    val_fraction, test_fraction : parts of `path` to split off where there is no `val_path` or `test_path`.
    seed : of the random split.
    format : ASE's name of the format; by default guessed.
    energy_key, forces_key, stress_key, charge_key : names of the reference values; null: do not read.

    Raises
    ------
    InputError : no path, or a file that cannot be read.
    """
    if path is None:
        raise InputError("dataset=files needs dataset.path=<file>")
    keys = Keys(energy_key, forces_key, stress_key, charge_key)
    train, val, test = split_off(
        read_structures(path, keys, format),
        0.0 if val_path else val_fraction,
        0.0 if test_path else test_fraction,
        seed,
    )
    if val_path:
        val = read_structures(val_path, keys, format)
    if test_path:
        test = read_structures(test_path, keys, format)
    return Splits(Path(path).name.split("@")[0].rsplit(".", 1)[0], train, val, test)
