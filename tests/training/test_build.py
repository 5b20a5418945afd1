"""What the parts of a run say of the data."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from structures import deep_potential, labelled_atoms, small_model

from sognet import SOGNet
from sognet.cli.configuration import CONFIGURATION
from sognet.data import Keys, Splits, Structure, StructureDataModule
from sognet.training.budget import set_limits
from sognet.training.build import build_module, build_trainer, choices, hint_at_total_charge
from sognet.training.configuration_checks import check
from sognet.training.learning_rates import schedules
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


def test_what_follows_from_the_data_is_said_in_a_line():
    structures = [Structure.from_atoms(labelled_atoms(n, seed=n), Keys(), f"{n}") for n in (8, 10, 9)]
    splits = Splits("made", structures)
    said = choices(small_model(n_latent=2).float(), StructureDataModule(splits, 4.0, batch_size="auto"))
    assert said == "cutoff 4 Å, 2 latent variables per atom, float32, batches of 7 structures of 9 atoms on average"
    said = choices(SOGNet(deep_potential(), None), StructureDataModule(splits, 4.0, batch_size=None, max_atoms=40))
    assert said == "cutoff 4 Å, float32"


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


@pytest.mark.parametrize("name", ["soap", "adam"])
def test_lists_among_the_settings_of_an_optimizer_are_plain_in_its_checkpoints(name):
    with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        config = compose("train", [f"optimizer={name}", "+optimizer.betas=[0.95,0.99]"])
    module = build_module(config, small_model(), PotentialLoss(1.0, 1.0))
    betas = module.make_optimizer(module.parameters()).state_dict()["param_groups"][0]["betas"]
    assert list(betas) == [0.95, 0.99]
    assert isinstance(betas, list | tuple)


def test_rates_of_a_sweep_are_numbers():
    """Also those that YAML takes for text (hydra#999)."""
    (jobs,) = BasicSweeper.split_arguments(
        OverridesParser.create().parse_overrides(["optimizer.lr=1e-5,5E-6,.00002"]), None
    )
    with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        assert [compose("train", job).optimizer.lr for job in jobs] == [1e-5, 5e-6, 2e-5]


def test_each_job_of_a_sweep_over_epochs_has_the_schedule_of_its_own_length(tmp_path):
    """Jobs as Hydra's sweeper makes them; rates fall by a cosine to zero at the end of each."""
    parsed = OverridesParser.create().parse_overrides(["epochs=2,6", "trainer=cpu", "logger=csv"])
    (jobs,) = BasicSweeper.split_arguments(parsed, None)
    lengths = []
    for job in jobs:
        with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
            config = compose("train", [*job, f"folder={tmp_path}"])
        check(config, job)
        OmegaConf.set_struct(config, False)
        set_limits(config)
        trainer = build_trainer(config, Splits("none", []), SimpleNamespace(reload_every_n_epochs=0), [])
        module = build_module(config, small_model(), PotentialLoss(1.0, 1.0))
        optimizer = torch.optim.Adam(module.parameters(), lr=1.0)
        (found,) = schedules(optimizer, module.make_scheduler, module.scheduler_interval, 0, trainer)
        rates = []
        for epoch in range(1, trainer.max_epochs + 1):
            trainer.fit_loop.epoch_progress.current.completed = epoch
            optimizer.step()
            found["scheduler"].step()
            rates.append(optimizer.param_groups[0]["lr"])
        share = np.arange(1, trainer.max_epochs + 1) / trainer.max_epochs
        assert rates == pytest.approx(0.5 * (1 + np.cos(np.pi * share)), abs=1e-3)
        lengths.append(trainer.max_epochs)
    assert lengths == [2, 6]
