"""Structures of files: one loop over the frames of every format, which names the file and frame of each mistake."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.db import connect
from ase.io import iread

from sognet.data.io.deepmd import hdf5_frames, npy_frames
from sognet.data.io.extended_xyz import xyz_frames
from sognet.data.io.h5md import h5md_frames
from sognet.data.io.locate import CP2K, DEEPMD_HDF5, DEEPMD_NPY, H5MD, Paths, Selection, files_of, format_of
from sognet.data.io.outputs import ENDINGS, check_complete, cp2k_frames, outcar_frames
from sognet.data.io.units import Units
from sognet.data.structure import REQUIRED, Keys, Structure, is_isolated_atom, raw_value
from sognet.errors import InputError
from sognet.progress import counted

AGREEMENT, ROUNDING = 0.02, 1e-4
"""How far a stress may be from that of the virial of its frame: a share of the largest component, and eV/Å³."""

LMDB_MAGIC = b"\xde\xc0\xef\xbe"
"""What follows the 16 bytes of the first page's header in an LMDB file."""


def read_structures(
    path: Paths,
    keys: Keys | None = None,
    file_format: str | None = None,
    units: Units | None = None,
    skipped: list[str] | None = None,
    required: Sequence[str] = REQUIRED,
    pbc: Sequence[bool] | None = None,
    partial_labels: bool = True,
) -> list[Structure]:
    """All structures that iter_structures gives, at least one.

    Parameters
    ----------
    path, keys, file_format, units, skipped, pbc : as of iter_structures.
    required : targets that at least one of the structures must have; without any, each is skipped or an error.
    partial_labels : whether structures may lack the energy or the forces that others of them have. Where not, each that
        does is skipped or an error. Forces of isolated atoms, which are zero, may be missing.

    Raises
    ------
    InputError : as iter_structures; or no structure has a required value, or the stress, virial or charge under a name
        that was set, a structure lacks one that others have, or nothing is left of what was read.
    """
    n_skipped, keys = len(skipped or ()), keys or Keys()
    structures = list(counted(iter_structures(path, keys, file_format, units, skipped, pbc), f"structures of {path}"))
    for target in required:
        if structures and getattr(keys, target) is not None and all(s.value(target) is None for s in structures):
            if skipped is None:
                raise InputError(structures[0].without(target, keys))
            skipped += [s.without(target, keys) for s in structures]
            structures = []
    if not partial_labels:
        structures = _completely_labelled(structures, keys, skipped)
    if required and structures:
        _check_names(structures, keys, path)
    if not structures:
        reasons = (skipped or [])[n_skipped:]
        several = f"all {len(reasons)} were skipped, the first because of " if len(reasons) > 1 else ""
        said = f"{several}{reasons[0]}" if reasons else "none in the file"
        raise InputError(f"{path}: no structures: {said}")
    return structures


def _completely_labelled(structures: list[Structure], keys: Keys, skipped: list[str] | None) -> list[Structure]:
    """Structures that have the energy and the forces where any of them has; the others are skipped or an error."""
    incomplete: dict[int, str] = {}
    for target in REQUIRED:
        without = [i for i, s in enumerate(structures) if s.value(target) is None and not _has_none(s, target)]
        if len(without) == sum(not _has_none(s, target) for s in structures):
            continue
        for i in without:
            incomplete.setdefault(
                i,
                f"{structures[i].source}: no `{getattr(keys, target)}`, which {len(without)} of {len(structures)} "
                "structures lack; repair or remove the frame, or set dataset.partial_labels=true to use what such "
                "structures have",
            )
    if incomplete and skipped is None:
        raise InputError(incomplete[min(incomplete)])
    if skipped is not None:
        skipped += [incomplete[i] for i in sorted(incomplete)]
    return [s for i, s in enumerate(structures) if i not in incomplete]


def _check_names(structures: list[Structure], keys: Keys, path: Paths) -> None:
    """Raise an InputError where no structure has what was given a name of its own: stress, virial or charge."""
    named = keys.virial or (keys.stress if keys.stress != Keys.stress else None)
    if named and all(s.stress is None for s in structures):
        setting = "virial" if keys.virial else "stress"
        raise InputError(f"{path}: no structure has `{named}`; correct dataset.{setting}_key, or leave it out")
    named = keys.charge if keys.charge != Keys.charge else None
    if named and not any(named in s.info or named in s.arrays for s in structures):
        raise InputError(
            f"{path}: no structure has `{named}`, so all would be neutral; set dataset.charge_key to the name of the "
            "total charge in your file, or to null where all are neutral"
        )


def _has_none(structure: Structure, target: str) -> bool:
    """Whether a target says nothing about a structure: the forces of an isolated atom."""
    return target == "forces" and is_isolated_atom(structure)


def iter_structures(
    path: Paths,
    keys: Keys | None = None,
    file_format: str | None = None,
    units: Units | None = None,
    skipped: list[str] | None = None,
    pbc: Sequence[bool] | None = None,
) -> Iterator[Structure]:
    """Structures one after the other, without holding more than one in memory where the format allows it.

    Extended XYZ, ASE databases (`.db`, `.json`, `.aselmdb`), VASP (OUTCAR, vasprun.xml), Gaussian and CP2K outputs,
    every other format of ASE, H5MD, and DeePMD-kit's systems in npy (also of mixed types) and HDF5 form.

    Parameters
    ----------
    path : a file, a pattern, a folder or a list of these; see locate.files_of.
    keys : names of the reference values; a structure may lack some of them, not all.
    file_format : ASE's name of the format, or `cp2k-output`, `deepmd-hdf5`, `h5md`; by default guessed from the file.
    units : of the values in the files, where the format does not fix them.
    skipped : by default a structure that cannot be used is an error. With a list, it is left out and the error's
        message is appended to the list; of a file that is broken, the frames before the break are used.
    pbc : three directions, periodic or not, in place of what the file says.

    Raises
    ------
    InputError : the file is missing, empty or broken, or a frame is (see Structure.from_atoms); names the file and
        the frame, counted from 0 as in the file.
    """
    keys, units = keys or Keys(), units or Units()
    for file, selection in files_of(path):
        frames = _checked_frames(file, selection, file_format, units)
        while True:
            try:
                number, atoms = next(frames)
            except StopIteration:
                break
            except InputError as error:
                if skipped is None:
                    raise
                skipped.append(str(error))
                break
            try:
                structure = _structure(atoms, keys, units, f"{file}, frame {number}", pbc)
            except InputError as error:
                if skipped is None:
                    raise
                skipped.append(str(error))
                continue
            yield structure


def iter_frames(path: Paths, file_format: str | None = None) -> Iterator[tuple[str, Atoms]]:
    """Frames as ASE structures, unchecked and with everything that the file has, each with where it came from.

    Parameters and errors are those of iter_structures.
    """
    for file, selection in files_of(path):
        for number, atoms in _checked_frames(file, selection, file_format, Units()):
            yield f"{file}, frame {number}", atoms


def _structure(atoms: Atoms, keys: Keys, units: Units, source: str, pbc: Sequence[bool] | None) -> Structure:
    units.scale_geometry(atoms)
    if pbc is not None:
        atoms.pbc = pbc
    structure = Structure.from_atoms(atoms, keys, source, partial=True)
    of_virial = raw_value(atoms, keys.virial) is not None
    units.scale_values(structure, of_virial=of_virial)
    if of_virial and structure.stress is not None and raw_value(atoms, keys.stress) is not None:
        _check_stress_against_virial(structure, atoms, keys, units)
    return structure


def _check_stress_against_virial(structure: Structure, atoms: Atoms, keys: Keys, units: Units) -> None:
    """Raise an InputError where a frame has a stress that is not the one which its virial gives."""
    other = Structure.from_atoms(atoms, replace(keys, virial=None), structure.source, partial=True)
    units.scale_values(other)
    of_virial, stress = structure.stress, other.stress
    if np.abs(of_virial - stress).max() <= AGREEMENT * np.abs(of_virial).max() + ROUNDING:
        return
    component = np.unravel_index(np.abs(of_virial - stress).argmax(), (3, 3))
    axes = "".join("xyz"[i] for i in component)
    raise InputError(
        f"{structure.source}: `{keys.stress}` and `{keys.virial}` contradict each other: {axes} is "
        f"{stress[component]:.6g} eV/Å³ by the stress and {of_virial[component]:.6g} eV/Å³ by the virial, as -W/V; set "
        "dataset.stress_key=null to take the virial, leave dataset.virial_key out to take the stress, or see "
        "dataset.stress_unit, stress_sign and stress_order"
    )


def _checked_frames(
    file: Path, selection: Selection, file_format: str | None, units: Units
) -> Iterator[tuple[int, Atoms]]:
    """Numbers and frames of a file; whatever its parser raises becomes an InputError."""
    file_format = file_format or format_of(file)
    if file.is_file() and file.stat().st_size == 0:
        raise InputError(f"{file}: the file is empty")
    if file_format in ENDINGS and units != Units():
        raise InputError(
            f"{file}: outputs of this program are read in eV and Å; leave dataset.energy_unit, length_unit, "
            "force_unit and stress_unit at their defaults (or read the other files as a source of dataset=mixture)"
        )
    number = -1
    try:
        for number, atoms in _select(_frames(file, file_format, selection), selection):
            yield number, atoms
        if file_format in ENDINGS and selection is None:
            check_complete(file, file_format, number + 1)
    except InputError:
        raise
    except Exception as error:  # whatever a parser makes of a broken file
        reason = str(error) or type(error).__name__
        raise InputError(
            f"{file}, frame {number + 1}: cannot be read ({reason}); the file may be truncated or in another "
            "format than its name says (set dataset.format)"
        ) from error
    if number < 0:
        raise InputError(f"{file}: no structures in the file")


def _frames(file: Path, file_format: str | None, selection: Selection) -> Iterable[Atoms]:
    match file_format:
        case "extxyz":
            return xyz_frames(file)
        case "db" | "json" | "aselmdb":
            return _database_frames(file, file_format, selection)
        case "vasp-out":
            return outcar_frames(file)
        case _ if file_format == CP2K:
            return cp2k_frames(file)
        case _ if file_format == DEEPMD_HDF5:
            return hdf5_frames(file)
        case _ if file_format == DEEPMD_NPY:
            return npy_frames(file)
        case _ if file_format == H5MD:
            return h5md_frames(file)
    return iread(str(file), index=":", format=file_format, do_not_split_by_at_sign=True)


def _select(frames: Iterable[Atoms], selection: Selection) -> Iterator[tuple[int, Atoms]]:
    """Frames that a selection names, with their numbers in the file; a database answers a query (str) itself."""
    numbered = enumerate(frames)
    if isinstance(selection, int):
        return islice(numbered, selection, selection + 1) if selection >= 0 else iter([list(numbered)[selection]])
    if not isinstance(selection, slice):
        return numbered
    if all(part is None or part >= 0 for part in (selection.start, selection.stop, selection.step)):
        return islice(numbered, selection.start, selection.stop, selection.step)
    return iter(list(numbered)[selection])


def _is_lmdb(file: Path) -> bool:
    with file.open("rb") as content:
        return content.read(20)[16:] == LMDB_MAGIC


def _database_frames(file: Path, file_format: str, selection: Selection) -> Iterator[Atoms]:
    """Rows by their ids; key-value pairs and data become values of the structure or of its atoms."""
    settings = {"readonly": True} if file_format == "aselmdb" else {}
    if file_format == "aselmdb" and not _is_lmdb(file):
        raise ValueError("not an LMDB file")
    try:
        database = connect(str(file), type=file_format, use_lock_file=False, serial=True, **settings)
    except ImportError as error:
        raise InputError(f"{file}: needs another package ({error}); pip install 'sognet[lmdb]'") from error
    try:
        for row in database.select(selection if isinstance(selection, str) else None):
            atoms = row.toatoms()
            for key, value in {**row.key_value_pairs, **row.data}.items():
                per_atom = isinstance(value, list | np.ndarray) and np.shape(value)[:1] == (len(atoms),)
                if key not in atoms.arrays:
                    (atoms.arrays if per_atom else atoms.info)[key] = np.array(value) if per_atom else value
            yield atoms
    except sqlite3.DatabaseError as error:
        raise ValueError(f"not an ASE database: {error}") from error
