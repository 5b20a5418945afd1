"""Outputs of electronic-structure programs: VASP's and CP2K's, and whether a program ran to its end."""

import warnings
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import dpdata
from ase import Atoms
from ase.io.formats import open_with_compression
from ase.io.vasp import iread_vasp_out

from sognet.data.io.locate import CP2K
from sognet.errors import InputError

ENDINGS = {
    "vasp-out": "General timing and accounting",
    "vasp-xml": "</modeling>",
    "gaussian-out": "Normal termination of Gaussian",
    CP2K: "PROGRAM ENDED AT",
}
"""What the output of a program that ran to its end says there; these programs' readers convert to eV and Å."""

LAST_LINES = 200  # of an output, among which its ending is looked for


def cp2k_frames(file: Path) -> Iterator[Atoms]:
    """The structure of a CP2K calculation of energy and forces.

    Raises
    ------
    InputError : the output is not complete, or the self-consistent field did not converge.
    """
    check_complete(file, CP2K, 0)
    with open_with_compression(str(file)) as text:
        if not any("SCF run converged" in line for line in text):
            raise InputError(f"{file}, frame 0: the self-consistent field did not converge; remove the file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield from dpdata.LabeledSystem(str(file), fmt="cp2k/output").to_ase_structure()


def outcar_frames(file: Path) -> Iterator[Atoms]:
    """Ionic steps of a VASP OUTCAR, one at a time."""
    with open_with_compression(str(file)) as text:
        yield from iread_vasp_out(text, index=":")


def check_complete(file: Path, file_format: str, n_frames: int) -> None:
    """Raise an InputError where an output ends before its program did, after n_frames complete frames."""
    with open_with_compression(str(file)) as text:
        end = deque(text, maxlen=LAST_LINES)
    if not any(ENDINGS[file_format] in line for line in end):
        raise InputError(
            f"{file}, frame {n_frames}: the calculation did not run to its end (no `{ENDINGS[file_format]}`), so the "
            "last frame may be incomplete; remove the file, or set dataset.skip_invalid=true to use the frames before"
        )
