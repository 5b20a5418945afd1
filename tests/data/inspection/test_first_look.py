"""What training says of its data before it begins names the frames."""

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT

from sognet.data import Keys, Splits, Structure
from sognet.data.inspection.first_look import what_stands_out


def frame(number, gold=1):
    atoms = bulk("Cu", cubic=True) * (2, 1, 1)
    atoms.symbols[:gold] = "Au"
    atoms.rattle(0.05, seed=number)
    atoms.calc = EMT()
    atoms.info["energy"], atoms.arrays["forces"] = atoms.get_potential_energy(), atoms.get_forces()
    atoms.calc = None
    return Structure.from_atoms(atoms, Keys(), f"a.xyz, frame {number}")


@pytest.fixture
def splits():
    frames = [frame(number) for number in range(60)]
    return Splits("made", frames[:40], frames[40:50], frames[50:])


def test_nothing_is_said_of_good_data(splits):
    assert what_stands_out(splits) == []


def test_a_minority_in_another_unit_is_named(splits):
    for structure in splits.train[::20]:
        structure.forces = structure.forces * units.mol / units.kcal
    (said,) = what_stands_out(splits)
    assert "2 structures" in said
    assert "in kcal/mol/Å?" in said
    assert "a.xyz, frame 20" in said


def test_forces_that_are_zero_are_named(splits):
    splits.train[3].forces = np.zeros_like(splits.train[3].forces)
    (said,) = what_stands_out(splits)
    assert "1 structure are exactly zero (a.xyz, frame 3)" in said


def test_equal_structures_of_two_splits_are_named(splits):
    splits.test[0] = frame(5)
    (said,) = what_stands_out(splits)
    assert "1 structure in two splits" in said
    assert "a.xyz, frame 5 (train) is a.xyz, frame 5 (test)" in said


def test_rare_elements_are_counted(splits):
    splits.train[1] = frame(1, gold=0)
    for number in range(2, 36):
        splits.train[number] = frame(number, gold=0)
    (said,) = what_stands_out(splits)
    assert "Au (5 atoms in 5 structures)" in said


def test_a_handful_of_structures_is_said_to_be_one(splits):
    (said,) = what_stands_out(Splits("made", splits.train[:3]))
    assert said.startswith("3 structures to train on")
