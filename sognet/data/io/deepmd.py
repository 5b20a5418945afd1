"""DeePMD-kit's systems, as folders of npy files or groups of an HDF5 file: one layout, two containers.

dpdata, which tests write these files with, reads the same values. It does not replace this module because it needs
energies, drops further arrays such as charges, sorts the frames of mixed systems by composition, holds whole systems in
memory, and does not name the file that is truncated.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import atomic_numbers

from sognet.errors import InputError

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class System:
    """One system: `types` (N,) are places in `symbols`; `sets` read the arrays of one set after another."""

    label: str
    types: np.ndarray
    symbols: list[str]
    periodic: bool
    sets: list[Callable[[], Arrays]]


def npy_frames(folder: Path) -> Iterator[Atoms]:
    """Frames of a system in npy form, in the order of its sets.

    Raises
    ------
    InputError : names the file, and what is missing, truncated or of another size than the system.
    """
    type_map = folder / "type_map.raw"
    if not type_map.is_file():
        raise InputError(f"{folder}: no type_map.raw, so the elements are not known; write their symbols into it")
    try:
        types = np.array((folder / "type.raw").read_text().split(), dtype=int)
    except ValueError as error:
        raise InputError(f"{folder / 'type.raw'}: not a list of whole numbers ({error})") from None
    sets = sorted(p for p in folder.glob("set.*") if p.is_dir())
    periodic = not (folder / "nopbc").exists()
    readers = [lambda s=s: {f.stem: _load(f) for f in sorted(s.glob("*.npy"))} for s in sets]
    yield from _frames(System(str(folder), types, type_map.read_text().split(), periodic, readers), sets)


def hdf5_frames(file: Path) -> Iterator[Atoms]:
    """Frames of all systems of an HDF5 file, system by system in the order of their names.

    Raises
    ------
    InputError : as npy_frames; or no system in the file.
    """
    with h5py.File(file) as root:
        groups: list[h5py.Group] = [root] if "type.raw" in root else []
        root.visititems(lambda _, item: groups.append(item) if _is_system(item) else None)
        if not groups:
            raise InputError(f"{file}: no DeePMD-kit system (type.raw) in this HDF5 file")
        for group in groups:
            label = f"{file}:{group.name}"
            if "type_map.raw" not in group:
                raise InputError(f"{label}: no type_map.raw, so the elements are not known")
            symbols = [s.decode() if isinstance(s, bytes) else str(s) for s in group["type_map.raw"][:]]
            sets = sorted(name for name in group if name.startswith("set."))
            readers = [
                lambda g=group, s=s: {n.removesuffix(".npy"): d[:] for n, d in g[s].items() if n.endswith(".npy")}
                for s in sets
            ]
            system = System(label, group["type.raw"][:].ravel(), symbols, "nopbc" not in group, readers)
            yield from _frames(system, [f"{label}/{s}" for s in sets])


def _is_system(item: h5py.Group | h5py.Dataset) -> bool:
    return isinstance(item, h5py.Group) and "type.raw" in item


def _load(file: Path) -> np.ndarray:
    try:
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{file}: not a readable array ({error}); it may be truncated, copy or write it again") from (
            error
        )


def _frames(system: System, names: list[str | Path]) -> Iterator[Atoms]:
    if not system.sets:
        raise InputError(f"{system.label}: no set.* in this system")
    numbers = _atomic_numbers(system)
    for read, name in zip(system.sets, names, strict=True):
        arrays = read()
        n_frames = len(arrays["coord"]) if "coord" in arrays else None
        if n_frames is None:
            raise InputError(f"{name}: no coord.npy")
        n = len(system.types)
        needed = {"coord": 3 * n, "force": 3 * n, "box": 9, "virial": 9, "energy": 1, "real_atom_types": n}
        for key, size in needed.items():
            if key in arrays and (len(arrays[key]) != n_frames or arrays[key].size != n_frames * size):
                raise InputError(
                    f"{name}: {key}.npy has shape {arrays[key].shape}, expected ({n_frames}, {size}) for the "
                    f"{n_frames} frames of coord.npy and the {n} atoms of type.raw"
                )
        if system.periodic and "box" not in arrays:
            raise InputError(f"{name}: no box.npy; add an empty file `nopbc` beside type.raw if it is not periodic")
        for frame in range(n_frames):
            yield _frame(system, numbers, {k: a[frame] for k, a in arrays.items() if len(a) == n_frames}, name)


def _atomic_numbers(system: System) -> np.ndarray:
    """Atomic number of each type."""
    unknown = [s for s in system.symbols if s not in atomic_numbers]
    if unknown:
        raise InputError(f"{system.label}: type_map.raw names {', '.join(unknown)}, which are no chemical elements")
    _check_types(system, system.types)
    return np.array([atomic_numbers[s] for s in system.symbols])


def _check_types(system: System, types: np.ndarray) -> None:
    if len(types) and not 0 <= types.min() <= types.max() < len(system.symbols):
        raise InputError(
            f"{system.label}: type.raw has type {types.max() if types.min() >= 0 else types.min()}, but type_map.raw "
            f"names {len(system.symbols)} elements, {' '.join(system.symbols)}; make the two agree"
        )


def _frame(system: System, numbers: np.ndarray, values: Arrays, name: str | Path) -> Atoms:
    types, real = system.types, slice(None)
    if "real_atom_types" in values:  # the mixed form: types by frame, −1 for atoms that fill up
        types = values["real_atom_types"].astype(int)
        real = types >= 0
        types = types[real]
        _check_types(system, types)
    atoms = Atoms(
        numbers=numbers[types],
        positions=np.asarray(values["coord"], dtype=float).reshape(-1, 3)[real],
        cell=np.asarray(values["box"], dtype=float).reshape(3, 3) if system.periodic else None,
        pbc=system.periodic,
    )
    results = {}
    if "energy" in values:
        results["energy"] = float(np.ravel(values["energy"])[0])
    if "force" in values:
        results["forces"] = np.asarray(values["force"], dtype=float).reshape(-1, 3)[real]
    if "virial" in values and atoms.cell.volume > 0:
        results["stress"] = -np.asarray(values["virial"], dtype=float).reshape(3, 3) / atoms.cell.volume
    atoms.calc = SinglePointCalculator(atoms, **results)
    known = {"coord", "box", "energy", "force", "virial", "real_atom_types"}
    atoms.info |= {k: float(np.ravel(v)[0]) for k, v in values.items() if k not in known and np.size(v) == 1}
    return atoms
