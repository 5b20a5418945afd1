"""The structure that a simulation starts from: one frame of a file, with its velocities or with drawn ones."""

from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.constraints import FixCom

from sognet.data.io.readers import iter_frames
from sognet.data.structure import Keys, Structure
from sognet.errors import InputError

VELOCITIES = ("velocities", "velocity", "velo", "vel")
"""Columns of velocities in Å/fs; ASE's own name of what it writes is `momenta`."""

KEPT = ("numbers", "positions", "momenta", "masses", "tags")
"""Arrays of a file that go into the trajectory; energies and forces of an earlier calculation do not."""


def first_atoms(
    path: str | Path,
    frame: int = -1,
    file_format: str | None = None,
    charge_key: str = "charge",
    setting: str = "simulation.frame",
) -> Atoms:
    """One frame of a file, with total charge, field, masses, velocities and fixed atoms where it has them.

    Parameters
    ----------
    path : of any format that sognet reads.
    frame : counted from 0; negative: from the end.
    file_format : ASE's name; None: guessed.
    charge_key : name of the total charge in `atoms.info`.
    setting : what chooses the frame, for messages.

    Raises
    ------
    InputError : no such file or frame, or a frame that no simulation can start from.
    """
    frames = list(iter_frames(path, file_format))
    if not -len(frames) <= frame < len(frames):
        raise InputError(f"{path}: {setting}={frame}, but the file has {len(frames)} frames, from 0 on")
    source, read = frames[frame]
    if len(frames) > 1:
        number = frame % len(frames)
        print(f"{path}: frame {number} of {len(frames)} is taken ({setting}={frame})", flush=True)
    Structure.from_atoms(read, Keys(energy=None, forces=None, stress=None, charge=charge_key), source)
    atoms = read.copy()
    atoms.info = {name: read.info[name] for name in (charge_key, "field") if name in read.info}
    column = next((name for name in VELOCITIES if name in read.arrays), None)
    if column is not None and "momenta" not in read.arrays:
        atoms.set_velocities(np.asarray(read.arrays[column], dtype=float) / units.fs)
        print(f"{path}: velocities of the column `{column}` are taken, in Å/fs", flush=True)
    for name in set(atoms.arrays) - set(KEPT):
        del atoms.arrays[name]
    if not np.isfinite(atoms.get_momenta()).all():
        raise InputError(f"{source}: a velocity is not finite; remove the column, and velocities are drawn")
    return atoms


def degrees_of_freedom(atoms: Atoms) -> int:
    """Momenta that are free: not those of fixed atoms, nor those of the centre of mass, which nothing moves."""
    free = int(atoms.get_number_of_degrees_of_freedom())
    return free if atoms.constraints or len(atoms) == 1 else free - 3


def temperature(atoms: Atoms) -> float:
    """Instantaneous temperature in K."""
    free = degrees_of_freedom(atoms)
    return 2 * atoms.get_kinetic_energy() / (free * units.kB) if free else 0.0


def draw_velocities(atoms: Atoms, kelvin: float, rng: np.random.Generator) -> None:
    """Velocities of a temperature, exactly, without a drift of the whole.

    Parameters
    ----------
    atoms : whose fixed atoms stay at rest.
    kelvin : temperature.
    rng : where they are drawn from.
    """
    masses = atoms.get_masses()[:, None]
    momenta = rng.standard_normal((len(atoms), 3)) * np.sqrt(masses * units.kB * kelvin)
    if not atoms.constraints and len(atoms) > 1:
        momenta -= masses * momenta.sum(0) / masses.sum()
    atoms.set_momenta(momenta)
    if (found := temperature(atoms)) > 0:
        atoms.set_momenta(atoms.get_momenta() * np.sqrt(kelvin / found))


def hold_centre(atoms: Atoms) -> None:
    """Keep the centre of mass where it is, unless atoms are fixed: for thermostats that would push it."""
    if not atoms.constraints and len(atoms) > 1:
        atoms.set_constraint(FixCom())
