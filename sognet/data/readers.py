"""Readers of structure files: extended XYZ and every other format of ASE, and DeePMD-kit's npy folders."""

import warnings
from pathlib import Path

import dpdata
from ase import Atoms
from ase.io import iread
from ase.io.formats import parse_filename

from sognet.data.structure import Keys, Structure
from sognet.errors import InputError


def read_structures(path: str | Path, keys: Keys | None = None, file_format: str | None = None) -> list[Structure]:
    """All structures of a file, or of a folder in DeePMD-kit's npy form.

    Parameters
    ----------
    path : file in any format of ASE, with ASE's `@` for a selection of frames (`mine.xyz@:100`), or a folder.
    keys : names of the reference values.
    file_format : ASE's name of the format; by default guessed from the file.

    Raises
    ------
    InputError : the file is missing, empty or broken, or a frame is (see Structure.from_atoms); names the file.
    """
    keys = keys or Keys()
    if Path(path).is_dir():
        return _read_deepmd(Path(path), keys)
    name, index = parse_filename(str(path), None)
    if not Path(name).is_file():
        raise InputError(f"{name}: no such file")
    if Path(name).stat().st_size == 0:
        raise InputError(f"{name}: the file is empty")
    structures: list[Structure] = []
    try:
        for number, atoms in enumerate(iread(name, index=":" if index is None else index, format=file_format)):
            structures.append(Structure.from_atoms(atoms, keys, f"{name}, frame {number}"))
    except InputError:
        raise
    except Exception as error:  # whatever a parser makes of a broken file
        reason = str(error) or type(error).__name__
        raise InputError(
            f"{name}, frame {len(structures)}: cannot be read ({reason}); the file may be truncated or in another "
            "format than its name says (set dataset.format)"
        ) from error
    if not structures:
        raise InputError(f"{name}: no structures in the file")
    return structures


def _read_deepmd(folder: Path, keys: Keys) -> list[Structure]:
    """Frames of a DeePMD-kit system, or of all systems below a folder."""
    systems = sorted(p.parent for p in folder.rglob("type.raw"))
    if not systems:
        raise InputError(f"{folder}: no DeePMD-kit system (type.raw) in or below this folder")
    structures = []
    for system in systems:
        for number, atoms in enumerate(_deepmd_frames(system)):
            structures.append(Structure.from_atoms(atoms, keys, f"{system}, frame {number}"))
    return structures


def _deepmd_frames(system: Path) -> list[Atoms]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dpdata.LabeledSystem(str(system), fmt="deepmd/npy").to_ase_structure()
    except Exception as error:
        raise InputError(f"{system}: not a readable DeePMD-kit system ({error})") from error
