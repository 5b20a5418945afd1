"""The file of a trajectory in H5MD, with all digits, whole whatever happens."""

import os
from collections.abc import Iterator, Mapping
from importlib.metadata import version

import h5py
import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms, FixCartesian
from ase.stress import voigt_6_to_full_3x3_stress

from sognet.data.io.h5md import FACTORS, FIXED, OBSERVABLES, OF_ATOMS, PARAMETERS, n_frames, opened
from sognet.errors import InputError
from sognet.simulation.files import GrowingFile, frame_of, unwritable

FORMAT = ("v110", "v110")
"""Of HDF5: the first whose files stay valid whenever their writer is killed (single writer, multiple readers)."""

CHUNK = 2**14
"""Bytes of the pieces in which frames are kept, at least one frame each."""

ROOM = 2**18
"""Bytes that a disk must have free beyond those of a frame, for chunks and their index."""

PARTICLES = "particles/all"
COUNT = "trajectory_frames"
"""Name of the number of frames in restart files."""


class H5MDTrajectory(GrowingFile):
    """H5MD. The file is open only while a frame is written, and what it is of others is not locked."""

    def write(self, atoms: Atoms, results: Mapping[str, object], **info: float) -> None:
        """Add a frame; it counts when its step is there, which is written last.

        Raises
        ------
        InputError : the disk is full, or the file cannot be written.
        """
        frame = frame_of(atoms, results)
        values = _values(frame, info)
        try:
            self._make_room(sum(value.nbytes for value in values.values()))
            with h5py.File(self.path, "a", libver=FORMAT, locking=False) as file:
                if "h5md" not in file:
                    _create(file, frame, values)
                file.swmr_mode = True
                (_, steps), *others = _growing(file)
                n = len(steps)
                for name, dataset in others:
                    _put(dataset, n, values.get(name, np.nan))
                file.flush()
                _put(steps, n, values["step"])
        except OSError as error:
            raise unwritable(self.path, error) from error

    def state(self) -> dict[str, np.ndarray]:
        """What a restart file keeps beside the size."""
        if not self.size:
            return {COUNT: np.array(0)}
        with opened(self.path) as file:
            return {COUNT: np.array(n_frames(file[PARTICLES]))}

    def restore(self, size: int, state: Mapping[str, np.ndarray]) -> None:
        """Go back to the frames of `state`, in a copy that takes the place of the file.

        Raises
        ------
        InputError : the file has fewer frames, or cannot be read.
        """
        draft, kept = self.path.with_name(f"{self.path.name}.part"), int(state[COUNT])
        try:
            with opened(self.path) as file, h5py.File(draft, "w", libver=FORMAT) as copy:
                if (there := n_frames(file[PARTICLES])) < kept:
                    raise InputError(
                        f"{self.path}: has {there} frames, and had {kept} when the restart file was written; put the "
                        "whole file back, or start anew"
                    )
                _copy(file, copy, kept, {})
            draft.replace(self.path)
        except (OSError, KeyError) as error:
            raise InputError(f"{self.path}: cannot be read or copied ({error}); put the whole file back") from error
        finally:
            draft.unlink(missing_ok=True)

    def _make_room(self, n_bytes: int) -> None:
        """Let a full disk be an error before HDF5 begins, which would leave half a frame."""
        before = self.size
        try:
            with self.path.open("ab") as file:
                file.write(bytes(n_bytes + ROOM))
        finally:
            if self.path.is_file() and self.size > before:
                os.truncate(self.path, before)


def _values(frame: Atoms, info: Mapping[str, float]) -> dict[str, np.ndarray]:
    """What a frame adds to each growing dataset, by the name of its group, and `step` and `time`."""
    results = frame.calc.results
    found = {"position": frame.positions, "velocity": frame.get_velocities(), "box": frame.cell.array}
    found |= {name: results[ours] for name, ours in (("force", "forces"), ("charge", "charges")) if ours in results}
    for name, (ours, _) in OBSERVABLES.items():
        if ours in results:
            found[name] = voigt_6_to_full_3x3_stress(results[ours]) if name == "stress" else results[ours]
    values = {name: np.asarray(value, dtype=float) / FACTORS[_unit(name)] for name, value in found.items()}
    values["step"] = np.asarray(info["step"], dtype=np.int64)
    return values | ({"time": np.asarray(info["time_ps"])} if "time_ps" in info else {})


def _unit(name: str) -> str:
    return OBSERVABLES[name][1] if name in OBSERVABLES else OF_ATOMS.get(name, "Angstrom")


def _create(file: h5py.File, frame: Atoms, values: Mapping[str, np.ndarray]) -> None:
    """Everything but the frames."""
    for name, value in {"h5md": (1, 1), "h5md/modules/units": (1, 0)}.items():
        file.create_group(name).attrs["version"] = np.array(value)
    file.create_group("h5md/author").attrs["name"] = "unknown"
    file.create_group("h5md/creator").attrs.update({"name": "sognet", "version": version("sognet")})
    file[f"{PARTICLES}/species"], file[f"{PARTICLES}/mass"] = frame.numbers, frame.get_masses()
    file[f"{PARTICLES}/mass"].attrs["unit"] = "u"
    file[FIXED] = _fixed(frame)
    for name, value in frame.info.items():
        file[f"{PARAMETERS}/{name}"] = value
    box = file.create_group(f"{PARTICLES}/box")
    boundary = ["periodic" if periodic else "none" for periodic in frame.pbc]
    box.attrs.update({"dimension": 3, "boundary": boundary})
    when = {name: _growing_dataset(file, f"{PARTICLES}/position/{name}", values[name]) for name in _when(values)}
    if "time" in when:
        when["time"].attrs["unit"] = "ps"
    for name in set(values) - set(when):
        group = file.require_group(_place(name))
        _growing_dataset(group, "value", values[name]).attrs["unit"] = _unit(name)
        for of_steps, dataset in when.items():
            if of_steps not in group:
                group[of_steps] = dataset


def _when(values: Mapping[str, np.ndarray]) -> list[str]:
    return [name for name in ("step", "time") if name in values]


def _place(name: str) -> str:
    if name == "box":
        return f"{PARTICLES}/box/edges"
    return f"observables/{name}" if name in OBSERVABLES else f"{PARTICLES}/{name}"


def _growing_dataset(group: h5py.Group, name: str, value: np.ndarray) -> h5py.Dataset:
    chunk = (max(1, CHUNK // max(value.nbytes, 8)), *value.shape)
    shapes = {"shape": (0, *value.shape), "maxshape": (None, *value.shape), "chunks": chunk}
    return group.create_dataset(name, dtype=value.dtype, track_times=False, **shapes)


def _growing(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """Datasets of which each frame has a part, by name, the steps first."""
    position = file[f"{PARTICLES}/position"]
    yield from ((name, position[name]) for name in ("step", "time") if name in position)
    for name in (*OF_ATOMS, "box", *OBSERVABLES):
        if (place := f"{_place(name)}/value") in file:
            yield name, file[place]


def _put(dataset: h5py.Dataset, n: int, value: np.ndarray | float) -> None:
    """Write the frame of a number, in place of what a killed writer left of it."""
    dataset.resize(n + 1, axis=0)
    dataset[n] = value


def _copy(source: h5py.Group, target: h5py.Group, n: int, copied: dict[h5py.h5o.ObjInfo, h5py.Dataset]) -> None:
    """Copy a group with the first n frames; datasets of several names stay one."""
    target.attrs.update(source.attrs)
    for name, item in source.items():
        if isinstance(item, h5py.Group):
            _copy(item, target.create_group(name), n, copied)
        elif item.maxshape[:1] != (None,):
            source.copy(name, target)
        elif (address := h5py.h5o.get_info(item.id).addr) in copied:
            target[name] = copied[address]
        else:
            copied[address] = _growing_dataset(target, name, np.zeros(item.shape[1:], item.dtype))
            copied[address].attrs.update(item.attrs)
            copied[address].resize(n, axis=0)
            for piece in range(0, n, item.chunks[0]):
                end = min(piece + item.chunks[0], n)
                copied[address][piece:end] = item[piece:end]


def _fixed(frame: Atoms) -> np.ndarray:
    """Which components (N,3) of the positions are fixed."""
    fixed = np.zeros((len(frame), 3), dtype=bool)
    for constraint in frame.constraints:
        if isinstance(constraint, FixAtoms):
            fixed[constraint.index] = True
        elif isinstance(constraint, FixCartesian):
            fixed[constraint.index] |= constraint.mask
    return fixed
