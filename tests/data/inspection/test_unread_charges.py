"""Total charges under another name than the one that is read are not taken for zero without a word."""

import pytest
from structures import labelled_atoms

from sognet.data import Keys, Splits, Structure
from sognet.data.inspection.first_look import what_stands_out
from sognet.data.inspection.unread_charges import of_unread_charges


def structures(name, values):
    frames = [labelled_atoms(seed=seed) for seed in range(len(values))]
    for atoms, value in zip(frames, values, strict=True):
        atoms.info[name] = value
    return [Structure.from_atoms(atoms, Keys(), f"a.xyz, frame {i}") for i, atoms in enumerate(frames)]


@pytest.mark.parametrize("name", ["total_charge", "Charge", "net charge", "qtot"])
def test_the_name_and_the_setting_that_reads_it_are_told(name):
    (said,) = of_unread_charges(structures(name, [0, -2.0, 1]))
    assert f"2 have a `{name}` that is not zero (a.xyz, frame 1)" in said
    assert f"dataset.charge_key={name}" in said
    assert said in what_stands_out(Splits("made", structures(name, [0, -2.0, 1])))


@pytest.mark.parametrize(("name", "values"), [("charge", [0, 1]), ("total_charge", [0, 0.0]), ("spin", [1, 2])])
def test_nothing_is_said_where_charges_are_read_or_zero(name, values):
    assert list(of_unread_charges(structures(name, values))) == []
