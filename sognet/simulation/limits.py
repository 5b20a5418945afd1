"""When a simulation cannot go on: what went wrong, in a sentence."""

import numpy as np
from ase import Atoms
from vesin import NeighborList

from sognet.data.structure import CLOSEST
from sognet.periodicity import periodic_projector
from sognet.simulation.initial_structure import temperature
from sognet.simulation.settings import SimulationSettings


def exceeded_limit(atoms: Atoms, settings: SimulationSettings) -> str | None:
    """What is wrong with the state of a simulation; None where nothing is."""
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.get_momenta()).all()):
        return "positions or velocities are not finite: try a shorter simulation.timestep"
    if (kelvin := temperature(atoms)) > settings.max_temperature:
        return (
            f"the temperature is {kelvin:.0f} K, above simulation.max_temperature={settings.max_temperature:g}: try a "
            "shorter simulation.timestep, a relaxed structure, or a model trained on such structures"
        )
    if (lost := lost_atom(atoms, settings.max_extent)) is not None:
        return (
            f"atom {lost} is more than simulation.max_extent={settings.max_extent:g} Å away from the centre along an "
            "open direction: it is lost"
        )
    return None


def too_close(atoms: Atoms) -> str | None:
    """Which atoms are closer than any two are, if some are."""
    box = atoms.cell.complete().array
    neighbours = NeighborList(cutoff=CLOSEST, full_list=False)
    first, second, distance = neighbours.compute(atoms.positions, box, atoms.pbc.tolist(), quantities="ijd")
    if not len(distance):
        return None
    k = int(distance.argmin())
    return (
        f"atoms {first[k]} and {second[k]} are {distance[k]:.3f} Å apart: try a shorter simulation.timestep, a relaxed "
        "structure, or a model trained on such structures"
    )


def lost_atom(atoms: Atoms, extent: float) -> int | None:
    """An atom farther than a distance (Å) from the centre along the open directions; None where there is none."""
    if atoms.pbc.all():
        return None
    opened = np.eye(3) - periodic_projector(atoms.cell.array, atoms.pbc)
    distances = np.linalg.norm((atoms.positions - np.median(atoms.positions, axis=0)) @ opened, axis=1)
    farthest = int(distances.argmax())
    return farthest if distances[farthest] > extent else None
