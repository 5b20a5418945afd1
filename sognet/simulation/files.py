"""Files that grow during a simulation, and can be cut back to where a restart file was written."""

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.extxyz import write_xyz

from sognet.errors import InputError

WRITTEN = ("energy", "forces", "stress", "charges", "dipole")
"""Results of the calculator that a trajectory has."""


class GrowingFile:
    """Text that is appended, each piece on disk before the simulation goes on.

    Parameters
    ----------
    path : where it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    def append(self, text: str) -> None:
        """Write at the end; what cannot be written whole is taken back.

        Raises
        ------
        InputError : the disk is full, or the file cannot be written.
        """
        before = self.size
        try:
            with self.path.open("a", encoding="utf-8", newline="") as file:
                file.write(text)
        except OSError as error:
            if self.path.is_file() and self.size > before:
                os.truncate(self.path, before)
            raise unwritable(self.path, error) from error

    def cut(self, size: int) -> None:
        """Drop what was written after the first bytes.

        Raises
        ------
        InputError : the file is shorter.
        """
        self.check_size(size)
        if size == 0:
            self.path.unlink(missing_ok=True)
        elif self.size > size:
            os.truncate(self.path, size)

    def check_size(self, size: int) -> None:
        """Raise an InputError where the file has fewer bytes than it had."""
        if self.size < size:
            raise InputError(
                f"{self.path}: has {self.size} bytes, and had {size} when the restart file was written; put the whole "
                "file back, or start anew"
            )


def unwritable(path: Path, error: OSError) -> InputError:
    """What to do where a file cannot be written."""
    return InputError(f"{path}: cannot be written ({error.strerror or error}); make room, then continue")


def frame_of(atoms: Atoms, results: Mapping[str, object], **info: object) -> Atoms:
    """A frame to be written: positions without wrapping, momenta, energy, forces, and stress where there is one.

    Parameters
    ----------
    atoms : with what of `info` goes along, the total charge for instance.
    results : of the calculator.
    info : further values of the frame.
    """
    frame = atoms.copy()
    frame.set_constraint([c for c in atoms.constraints if hasattr(c, "get_indices")])
    frame.info.update(info)
    frame.calc = SinglePointCalculator(frame, **{name: results[name] for name in WRITTEN if name in results})
    return frame


def frame_text(atoms: Atoms, results: Mapping[str, object], **info: object) -> str:
    """Extended XYZ of a frame; parameters are those of frame_of."""
    text = io.StringIO()
    write_xyz(text, frame_of(atoms, results, **info))
    return text.getvalue()


def line_of(values: Mapping[str, float], header: bool) -> str:
    """Line of a table of numbers, with the names before it where these are wanted."""
    text = io.StringIO()
    writer = csv.writer(text)
    if header:
        writer.writerow(values)
    writer.writerow([repr(v) if isinstance(v, int) else f"{v:.10g}" for v in values.values()])
    return text.getvalue()


def columns_of(path: Path) -> dict[str, list[float]]:
    """Columns of such a table by name."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in (rows[0] if rows else ())}
