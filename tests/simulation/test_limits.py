"""What ends a simulation, and what does not."""

import numpy as np
import pytest
from ase import Atoms
from simulations import TURN

from sognet.simulation.initial_structure import draw_velocities
from sognet.simulation.limits import exceeded_limit, lost_atom, too_close
from sognet.simulation.settings import SimulationSettings


def slab(pbc=(True, True, False)) -> Atoms:
    """A turned layer of five atoms."""
    atoms = Atoms("Na5", positions=3.0 * np.eye(5, 3), cell=[8.0, 8.0, 40.0], pbc=pbc)
    atoms.set_cell(atoms.cell.array @ TURN, scale_atoms=True)
    return atoms


@pytest.mark.parametrize(("shift", "lost"), [([2000.0, 500.0, 0.0], None), ([0.0, 0.0, 60.0], 3)])
def test_atoms_are_lost_along_open_directions_only(shift, lost):
    """Trajectories are not wrapped: liquids diffuse by many cells along periodic directions."""
    atoms = slab()
    atoms.positions[3] += shift @ TURN
    assert lost_atom(atoms, 50.0) == lost
    said = exceeded_limit(atoms, SimulationSettings(max_extent=50.0))
    assert (said is None) == (lost is None)
    assert lost_atom(slab(True), 1e-9) is None


@pytest.mark.parametrize("pbc", [True, (False, True, True), False])
def test_atoms_are_too_close_through_periodic_faces_only(pbc):
    """Both are 0.04 Å from opposite faces of a turned cell."""
    atoms = Atoms("Na2", positions=[[1.0, 1.0, 0.04], [1.0, 1.0, 8.96]], cell=[7.0, 8.0, 9.0], pbc=pbc)
    atoms.set_cell(atoms.cell.array @ TURN, scale_atoms=True)
    said = too_close(atoms)
    assert (said is None) == (pbc is False)
    assert pbc is False or "are 0.080 Å apart" in said


@pytest.mark.parametrize(("kelvin", "stops"), [(990.0, False), (1010.0, True)])
def test_the_limit_is_a_temperature_in_kelvin(kelvin, stops):
    atoms = slab(True)
    draw_velocities(atoms, kelvin, np.random.default_rng(0))
    said = exceeded_limit(atoms, SimulationSettings(max_temperature=1000.0))
    assert (said is not None) == stops
    assert not stops or "the temperature is 1010 K, above simulation.max_temperature=1000" in said
