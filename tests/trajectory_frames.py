"""Frames of a trajectory from ASE structures."""

from dataclasses import replace

from ase import Atoms

from sognet.trajectories.frames import Frame, atoms_frame


def frames(structures: list[Atoms], step: float = 0.01, **values) -> list[Frame]:
    """Frames that are `step` ps apart."""
    made = [atoms_frame(atoms, f"frame {k}", k, values.get("charges")) for k, atoms in enumerate(structures)]
    return [replace(frame, time=frame.index * step) for frame in made]
