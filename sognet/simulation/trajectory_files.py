"""The files of a trajectory: extended XYZ, ASE's binary `.traj`, or H5MD, which grow and can be cut back."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io.trajectory import TrajectoryWriter

from sognet.simulation.files import GrowingFile, frame_of, frame_text, unwritable
from sognet.simulation.h5md_trajectory import H5MDTrajectory

HEADER = 48
"""Bytes at the beginning of ASE's file that change with each frame: their number, and where the table of them is."""

KEY = "trajectory_header"
"""Name of these bytes in restart files."""


class XYZTrajectory(GrowingFile):
    """Extended XYZ."""

    def write(self, atoms: Atoms, results: Mapping[str, object], **info: object) -> None:
        """Add a frame; see frame_text."""
        self.append(frame_text(atoms, results, **info))

    def state(self) -> dict[str, np.ndarray]:
        """What a restart file keeps beside the size."""
        return {}

    def restore(self, size: int, state: Mapping[str, np.ndarray]) -> None:
        """Go back to a size and what `state` gave there.

        Raises
        ------
        InputError : the file is shorter.
        """
        self.cut(size)


class ASETrajectory(GrowingFile):
    """ASE's `.traj`, with all digits: frames are appended, and a part of its header is written anew with each."""

    def write(self, atoms: Atoms, results: Mapping[str, object], **info: object) -> None:
        """Add a frame; what cannot be written whole is taken back.

        Raises
        ------
        InputError : the disk is full, or the file cannot be written.
        """
        before, header = self.size, self._header()
        try:
            writer = TrajectoryWriter(self.path, "a")
        except OSError as error:
            raise unwritable(self.path, error) from error
        try:
            writer.write(frame_of(atoms, results, **info))
            writer.close()
        except OSError as error:
            with suppress(OSError):
                writer.backend.fd.close()  # which would write the rest of its buffer later
            self._go_back(before, header)
            raise unwritable(self.path, error) from error

    def state(self) -> dict[str, np.ndarray]:
        """What a restart file keeps beside the size."""
        return {KEY: np.frombuffer(self._header(), dtype=np.uint8)}

    def restore(self, size: int, state: Mapping[str, np.ndarray]) -> None:
        """Go back to a size and what `state` gave there.

        Raises
        ------
        InputError : the file is shorter.
        """
        self.check_size(size)
        self._go_back(size, state[KEY].tobytes())

    def _header(self) -> bytes:
        if not self.size:
            return b""
        with self.path.open("rb") as file:
            return file.read(HEADER)

    def _go_back(self, size: int, header: bytes) -> None:
        os.truncate(self.path, size)
        if header:
            with self.path.open("r+b") as file:
                file.write(header)


KINDS = {"extxyz": XYZTrajectory, "traj": ASETrajectory, "h5md": H5MDTrajectory}


def trajectory_file(folder: Path, ending: str) -> XYZTrajectory | ASETrajectory | H5MDTrajectory:
    """The trajectory of a folder, in the format of an ending, extxyz, traj or h5md."""
    return KINDS[ending](folder / f"trajectory.{ending}")
