"""Which files a path means: a file, a pattern, a folder of any depth, or a list of these."""

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
from ase.io.formats import open_with_compression, parse_filename

from sognet.errors import InputError, MissingFileError

Paths = str | Path | Sequence[str | Path]
"""A file, a pattern, a folder, or a list of these."""

Selection = slice | int | str | None
"""What follows the `@` of a path: frames by number, a database's query, or None for all."""

CP2K, DEEPMD_HDF5, DEEPMD_NPY, H5MD = "cp2k-output", "deepmd-hdf5", "deepmd-npy", "h5md"
"""Formats that are not ASE's."""

SUFFIXES = {
    ".xyz": "extxyz",
    ".extxyz": "extxyz",
    ".traj": "traj",
    ".db": "db",
    ".json": "json",
    ".aselmdb": "aselmdb",
    ".h5": DEEPMD_HDF5,
    ".hdf5": DEEPMD_HDF5,
    ".h5md": H5MD,
}
COMPRESSIONS = (".gz", ".bz2", ".xz")
PROGRAMS = {"Entering Gaussian System": "gaussian-out", "CP2K|": CP2K}
"""What the head of a program's output says of its format."""

HEAD = 100_000  # characters of an output in which its program names itself


def files_of(path: Paths) -> Iterator[tuple[Path, Selection]]:
    """Files and DeePMD-kit systems that a path means, each with the selection of frames after an `@`.

    Parameters
    ----------
    path : a file (`mine.xyz@:100` selects frames), a pattern (`runs/*/OUTCAR`, `**` for any depth), a folder, or a
        list of these. Of a folder that is no DeePMD-kit system, everything below it that is of a known format.

    Raises
    ------
    InputError : nothing is there.
    """
    if not isinstance(path, str | Path):
        for one in path:
            yield from files_of(one)
        return
    name, selection = (str(path), None) if Path(path).exists() else parse_filename(str(path), None)
    if Path(name).exists():
        found = [Path(name)]
    elif glob.has_magic(name):
        found = [Path(p) for p in sorted(glob.glob(name, recursive=True))]
        if not found:
            raise MissingFileError(f"{name}: no file matches this pattern")
    else:
        raise MissingFileError(f"{name}: no such file")
    for one in found:
        if not one.is_dir():
            yield one, selection
            continue
        inside = list(_files_below(one))
        if not inside:
            raise InputError(
                f"{one}: no DeePMD-kit system (type.raw) and no file of a known format in or below this folder; "
                "name the file to have it read whatever it is called"
            )
        yield from ((file, selection) for file in inside)


def format_of(file: Path) -> str | None:
    """Format of a file by its name and, for outputs and HDF5, what is in it; None where nothing is known."""
    if file.is_dir():
        return DEEPMD_NPY
    suffixes = [s for s in file.suffixes if s not in COMPRESSIONS]
    if suffixes and suffixes[-1] in SUFFIXES:
        found = SUFFIXES[suffixes[-1]]
        return H5MD if found == DEEPMD_HDF5 and _is_h5md(file) else found
    if file.name.startswith("OUTCAR"):
        return "vasp-out"
    if file.name.startswith("vasprun") and ".xml" in suffixes:
        return "vasp-xml"
    return next((name for mark, name in PROGRAMS.items() if mark in _head(file)), None)


def _is_h5md(file: Path) -> bool:
    """Whether an HDF5 file says that it is H5MD."""
    try:
        with h5py.File(file, locking=False) as root:
            return "h5md" in root
    except OSError:
        return False


def _files_below(folder: Path) -> Iterator[Path]:
    if (folder / "type.raw").is_file():
        yield folder
        return
    inside = sorted(folder.iterdir())
    has_xml = any(p.name.startswith("vasprun") and format_of(p) == "vasp-xml" for p in inside if p.is_file())
    for path in inside:
        if path.is_dir():
            yield from _files_below(path)
        elif (found := format_of(path)) in (None, "json") or (found == "vasp-out" and has_xml):
            continue  # most JSON is no database; vasprun.xml has the same frames as OUTCAR with more digits
        elif found != "extxyz" or "Properties=" in _head(path, lines=2):  # no plain xyz beside an output
            yield path


def _head(file: Path, lines: int | None = None) -> str:
    try:
        with open_with_compression(str(file)) as text:
            return text.read(HEAD) if lines is None else "".join(text.readline(HEAD) for _ in range(lines))
    except (UnicodeDecodeError, OSError, EOFError):
        return ""
