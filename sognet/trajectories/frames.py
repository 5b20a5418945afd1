"""Frames of a trajectory, one after the other, with what the analysis needs of them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from ase import Atoms, units

from sognet.data.io.locate import Paths
from sognet.data.io.readers import iter_frames
from sognet.errors import InputError

Charges = Mapping[str, float] | str | None
"""Charges by element in e, the name of a column, or None for `charges` of the frames."""


@dataclass(frozen=True)
class Frame:
    """One frame.

    Parameters
    ----------
    source : file and number, for messages.
    index : counted from 0 over the frames that are analysed.
    numbers : atomic numbers (N,).
    masses : (N,), amu.
    positions : (N, 3), Å.
    cell : lattice vectors (3, 3), Å; those of open directions are unit vectors where the file has none.
    pbc : (3,) bool.
    time : ps, None where unknown.
    velocities : (N, 3), Å/ps, or None.
    charges : (N,), e, or None.
    dipole : (3,), e Å, or None.
    temperature : K, or None.
    """

    source: str
    index: int
    numbers: np.ndarray
    masses: np.ndarray
    positions: np.ndarray
    cell: np.ndarray
    pbc: np.ndarray
    time: float | None = None
    velocities: np.ndarray | None = None
    charges: np.ndarray | None = None
    dipole: np.ndarray | None = None
    temperature: float | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def volume(self) -> float:
        """Å³ of the cell."""
        return float(abs(np.linalg.det(self.cell)))

    @cached_property
    def fractional(self) -> np.ndarray:
        """Positions (N, 3) in units of the lattice vectors."""
        return np.linalg.solve(self.cell.T, self.positions.T).T

    @property
    def wrapped(self) -> np.ndarray:
        """Positions (N, 3) in Å inside the cell along periodic directions."""
        return self.positions - (np.floor(self.fractional) * self.pbc) @ self.cell


def frames_of(
    path: Paths,
    file_format: str | None = None,
    skip: int = 0,
    every: int = 1,
    interval: float | None = None,
    charges: Charges = None,
    temperature: float | None = None,
) -> Iterator[Frame]:
    """Frames of a file of any format that sognet reads.

    Parameters
    ----------
    path : a file, a pattern or a list; several are one trajectory.
    file_format : ASE's name of the format; None: guessed.
    skip : frames left out at the beginning.
    every : one of so many frames is taken.
    interval : fs between two frames of the file; None: `time_ps` of the frames.
    charges : by element, name of a column, or None for those of the calculator in the file.
    temperature : K; None: of the velocities.

    Raises
    ------
    InputError : the atoms are not the same in all frames, a charge is missing, or no frame is left.
    """
    first: Frame | None = None
    taken = (
        (number, source, atoms)
        for number, (source, atoms) in enumerate(iter_frames(path, file_format))
        if number >= skip and (number - skip) % every == 0
    )
    for index, (number, source, atoms) in enumerate(taken):
        frame = atoms_frame(atoms, source, index, charges)
        if interval is not None:
            frame = replace(frame, time=1e-3 * interval * number)
        if temperature is not None:
            frame = replace(frame, temperature=temperature)
        first = first or frame
        _check_same(frame, first)
        yield frame
    if first is None:
        raise InputError(f"{path}: no frame is left with skip={skip}; set it lower")


def continuous(frames: Iterable[Frame], wrapped: bool | None) -> Iterator[Frame]:
    """The same frames with positions that do not jump where an atom crosses a face of the cell.

    Parameters
    ----------
    frames : of one trajectory.
    wrapped : True: each atom goes the shortest way from frame to frame; False: positions are taken as they are; None:
        as they are, and jumps are refused.

    Raises
    ------
    InputError : an atom moves by more than half a lattice vector, where `wrapped` is None.
    """
    before: Frame | None = None
    turns = 0.0
    for frame in frames:
        if before is None or wrapped is False:
            before = frame
            yield frame
            continue
        jumps = np.round(frame.fractional - before.fractional) * frame.pbc
        before = frame
        if wrapped:
            turns = turns - jumps
            yield replace(frame, positions=frame.positions + turns @ frame.cell)
            continue
        if jumps.any():
            atom = int(np.flatnonzero(jumps.any(1))[0])
            raise InputError(
                f"{frame.source}: atom {atom} has moved by more than half a lattice vector since the frame before; set "
                "wrapped=true if positions are put back into the cell, wrapped=false if they are not"
            )
        yield frame


def atoms_frame(atoms: Atoms, source: str, index: int, charges: Charges = None) -> Frame:
    """A frame of an ASE structure.

    Parameters
    ----------
    atoms : with velocities, charges and dipole where the file has them.
    source : for messages.
    index : counted from 0.
    charges : as in frames_of.

    Raises
    ------
    InputError : a charge is missing.
    """
    velocities = atoms.get_velocities() * (1e3 * units.fs) if atoms.has("momenta") else None
    moving = atoms.get_number_of_degrees_of_freedom()
    degrees = moving if atoms.constraints or len(atoms) == 1 else moving - 3
    time = atoms.info.get("time_ps")
    return Frame(
        source=source,
        index=index,
        numbers=atoms.numbers,
        masses=atoms.get_masses(),
        positions=atoms.positions,
        cell=atoms.cell.complete().array,
        pbc=atoms.pbc,
        time=None if time is None else float(time),
        velocities=velocities,
        charges=_charges(atoms, charges, source),
        dipole=_result(atoms, "dipole"),
        temperature=None
        if velocities is None or not degrees
        else 2 * atoms.get_kinetic_energy() / (degrees * units.kB),
    )


def _charges(atoms: Atoms, charges: Charges, source: str) -> np.ndarray | None:
    if charges is None:
        return _result(atoms, "charges")
    if isinstance(charges, str):
        if charges not in atoms.arrays:
            raise InputError(
                f"{source}: no column {charges!r} for charges={charges}; there are {', '.join(atoms.arrays)}"
            )
        return np.asarray(atoms.arrays[charges], dtype=float).reshape(len(atoms), -1)[:, 0]
    if missing := sorted(set(atoms.symbols) - set(charges)):
        raise InputError(f"{source}: no charge of {', '.join(missing)}; charges={{...}} needs one for each element")
    return np.array([float(charges[symbol]) for symbol in atoms.symbols])


def _result(atoms: Atoms, name: str) -> np.ndarray | None:
    """A result of the calculator that was written with the frame."""
    values = atoms.calc.results.get(name) if atoms.calc is not None else None
    return None if values is None else np.asarray(values, dtype=float)


def _check_same(frame: Frame, first: Frame) -> None:
    if not np.array_equal(frame.numbers, first.numbers):
        raise InputError(
            f"{frame.source}: other atoms than in {first.source} ({len(frame)} and {len(first)}, or in another order); "
            "analyze the parts on their own, with trajectory=<file>@<first>:<last>"
        )
    if not np.array_equal(frame.pbc, first.pbc):
        raise InputError(f"{frame.source}: periodic along other directions than {first.source}")
    if not np.isfinite(frame.positions).all():
        raise InputError(f"{frame.source}: a position is not finite; end before with trajectory=<file>@:<frame>")
