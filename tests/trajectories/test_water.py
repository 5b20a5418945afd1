"""Water: molecules, orientation across slabs, hydrogen bonds."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from trajectory_frames import frames

from sognet.errors import InputError
from sognet.trajectories.hydrogen_bonds import HydrogenBonds
from sognet.trajectories.orientation import Orientation
from sognet.trajectories.water import water_molecules


def upright(height: float, up: bool) -> Atoms:
    """A water molecule with its bisector along ±z and its oxygen at a height."""
    water = molecule("H2O")
    if (water.positions[1, 2] > water.positions[0, 2]) != up:
        water.rotate(180, "x")
    water.positions += [0, 0, height] - water.positions[0]
    return water


def slab(tilt: float = 0.0) -> Atoms:
    top, bottom = upright(8.0, up=True), upright(2.0, up=False)
    top.rotate(tilt, "x", center=top.positions[0])
    atoms = top + bottom
    atoms.set_cell([7, 7, 20])
    atoms.pbc = [True, True, False]
    return atoms


def result(quantity, all_frames):
    for frame in all_frames:
        quantity.add(frame)
    return quantity.result()


def test_molecules_are_found_across_faces_and_ions_are_none():
    hydroxide = Atoms("OH", positions=[[5, 5, 5], [5, 5, 5.97]])
    atoms = upright(0.0, True) + hydroxide
    atoms.set_cell([9, 9, 9])
    atoms.pbc = True
    atoms.wrap()
    (frame,) = frames([atoms])
    waters = water_molecules(frame)
    assert waters.oxygens.tolist() == [0]
    np.testing.assert_allclose(waters.bonds[0], upright(0.0, True).positions[1:], atol=1e-9)


def test_orientation_of_upright_and_tilted_molecules():
    all_frames = frames([slab(tilt) for tilt in (30.0, -30.0) * 10])
    found = result(Orientation(all_frames[0], 4, None, 0.5), all_frames)
    values = found.panels[0].curves[0].values
    assert values[np.flatnonzero(found.axis > 0)][-1] == pytest.approx(np.cos(np.radians(30)))
    assert values[0] == pytest.approx(-1)
    assert np.isnan(values).sum() == len(values) - 2


@pytest.mark.parametrize(("angle", "distance", "bonds"), [(20, 2.9, 1), (29, 3.45, 1), (31, 3.45, 0), (29, 3.55, 0)])
def test_hydrogen_bonds_by_distance_and_angle(angle, distance, bonds):
    donor = Atoms("OHH", positions=[[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    line = np.array([np.cos(np.radians(angle)), -np.sin(np.radians(angle)), 0])
    acceptor = Atoms("OHH", positions=[[0, 0, 0], [0.5, 0, 0.8], [0.5, 0, -0.8]])
    acceptor.positions += distance * line
    dimer = donor + acceptor
    dimer.set_cell([9, 9, 9])
    dimer.positions += [7.5, 1, 1]
    dimer.pbc = True
    all_frames = frames([dimer])
    assert result(HydrogenBonds(all_frames[0], 4), all_frames).numbers["per molecule"] == bonds


def test_quantities_of_water_need_water():
    salt = frames([Atoms("NaCl", positions=[[0, 0, 0], [0, 0, 2.5]], cell=[9, 9, 9], pbc=[1, 1, 0])])[0]
    with pytest.raises(InputError, match="hydrogen_bonds needs water"):
        HydrogenBonds(salt, 4)
    with pytest.raises(InputError, match="orientation needs water"):
        Orientation(salt, 4)


@pytest.mark.parametrize(("bond", "found"), [(1.28, 1), (1.32, 0)])
def test_bonds_of_water_end_at_a_length(bond, found):
    """A hydrogen atom halfway to another molecule, as in proton transfer, is at 1.2 Å."""
    atoms = Atoms("OHH", positions=[[0, 0, 0], [bond, 0, 0], [0, 0.96, 0]], cell=[9, 9, 9], pbc=True)
    assert len(water_molecules(frames([atoms])[0]).oxygens) == found


def test_the_orientation_along_a_periodic_axis_is_at_heights_in_the_mean_cell():
    """The bins move with the cell: 2 Å of 19 and 21 are a tenth of the mean."""
    made = []
    for height in (19.0, 21.0):
        atoms = upright(0.1 * height, True)
        atoms.set_cell([7, 7, height])
        atoms.pbc = True
        made.append(atoms)
    all_frames = frames(made)
    found = result(Orientation(all_frames[0], 4, 2, 0.19 * 2), all_frames)
    (occupied,) = np.flatnonzero(np.isfinite(found.panels[0].curves[0].values))
    assert found.axis[occupied] == pytest.approx(2.0, abs=0.21)
    assert found.axis[-1] + found.axis[0] == pytest.approx(20.0)
