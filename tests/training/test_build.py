"""What the parts of a run say of the data."""

import logging

import pytest
from structures import labelled_atoms, small_model

from sognet.data import Keys, Splits, Structure
from sognet.training.build import hint_at_total_charge


@pytest.mark.parametrize(
    ("charges", "sees", "told"), [([0, 1], False, True), ([0, 1], True, False), ([1, 1], False, False)]
)
def test_total_charges_that_the_model_does_not_see(caplog, charges, sees, told):
    structures = [Structure.from_atoms(labelled_atoms(5, seed=i), Keys(), f"{i}") for i in range(2)]
    for structure, charge in zip(structures, charges, strict=True):
        structure.charge = float(charge)
    with caplog.at_level(logging.WARNING):
        hint_at_total_charge(small_model(total_charge=sees), Splits("made", structures[:1], structures[1:]))
    assert ("from 0 to 1 e" in caplog.text and "model.total_charge=true" in caplog.text) == told
