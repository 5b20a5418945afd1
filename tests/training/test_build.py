"""What the parts of a run say of the data."""

import logging

import pytest
from hydra import compose, initialize_config_dir
from structures import labelled_atoms, small_model

from sognet.cli.configuration import CONFIGURATION
from sognet.data import Keys, Splits, Structure
from sognet.training.build import build_module, hint_at_total_charge
from sognet.training.loss import PotentialLoss


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


@pytest.mark.parametrize(
    ("overrides", "interval"),
    [
        ([], None),
        (["scheduler.interval=epoch"], "epoch"),
        (["scheduler=step"], "epoch"),
        (["scheduler=plateau"], None),
    ],
)
def test_schedules_go_on_in_the_unit_that_is_asked_for(overrides, interval):
    with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        config = compose("train", overrides)
    assert build_module(config, small_model(), PotentialLoss(1.0, 1.0)).scheduler_interval == interval
