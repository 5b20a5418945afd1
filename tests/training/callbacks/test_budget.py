"""Trainings that are given a time, by a clock that shows a second more after every step."""

from functools import partial
from types import SimpleNamespace

import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from structures import labelled_atoms, small_model

from sognet.data import Keys, Splits, Structure, StructureDataModule
from sognet.training.callbacks import budget
from sognet.training.callbacks.budget import TrainingBudget, epochs_for
from sognet.training.loss import PotentialLoss
from sognet.training.module import PotentialModule

pytestmark = pytest.mark.filterwarnings("ignore:Checkpoint directory")


class Clock(lightning.Callback):
    """Seconds of a step, a second one from the step `slow` on; notes rates and the steps at which validations are."""

    def __init__(self, monkeypatch, slow=10**6):
        self.now, self.slow = 0.0, slow
        self.rates, self.validated = [], []
        monkeypatch.setattr("sognet.training.callbacks.budget.time", SimpleNamespace(monotonic=lambda: self.now))

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.rates.append(pl_module.optimizers().param_groups[0]["lr"])
        self.now += 2.0 if trainer.global_step >= self.slow else 1.0

    def on_validation_end(self, trainer, pl_module):
        self.validated.append(trainer.global_step)


def trained(clock, seconds, checkpoint=None, folder=None, of_data=False, **settings):
    """Four steps per epoch; two structures are validated."""
    torch.manual_seed(0)
    structures = [Structure.from_atoms(labelled_atoms(4, seed=i), Keys(), f"{i}") for i in range(10)]
    schedule = partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=None)
    module = PotentialModule(small_model(), PotentialLoss(1.0, 1.0), partial(torch.optim.Adam, lr=1e-3), schedule)
    saved = ModelCheckpoint(folder, "{step}", save_top_k=-1 if folder else 0, save_on_train_epoch_end=True)
    trainer = lightning.Trainer(
        accelerator="cpu", logger=False, use_distributed_sampler=False, enable_progress_bar=False, inference_mode=False,
        enable_model_summary=False, num_sanity_val_steps=0, log_every_n_steps=1,
        callbacks=[TrainingBudget(seconds, epochs_of_data=of_data), clock, saved], **({"max_epochs": -1} | settings),
    )  # fmt: skip
    data = StructureDataModule(Splits("test", train=structures[:8], val=structures[8:]), 4.0, batch_size=2)
    trainer.fit(module, data, ckpt_path=checkpoint, weights_only=False if checkpoint else None)
    return module, trainer


def test_a_time_ends_with_the_schedule_at_its_end(monkeypatch):
    clock = Clock(monkeypatch)
    module, trainer = trained(clock, 200.0)
    steps = trainer.global_step
    assert 0.8 * 200 < steps <= 200
    assert module.optimizers().param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-12)
    cosine = 0.5e-3 * (1 + np.cos(np.pi * np.arange(steps) / steps))
    assert clock.rates == pytest.approx(cosine, abs=2e-5)
    assert clock.validated[-1] == steps
    assert len(set(clock.validated)) == len(clock.validated)


def test_a_resumed_training_takes_the_steps_that_were_planned_to_the_same_weights(monkeypatch, tmp_path):
    clock = Clock(monkeypatch)
    module, trainer = trained(clock, 100.0, folder=tmp_path)
    slower = Clock(monkeypatch)
    slower.now = 1e5
    again, resumed = trained(slower, 100.0, tmp_path / "step=40.ckpt", tmp_path)
    assert resumed.global_step == trainer.global_step
    assert slower.rates == clock.rates[40:]
    for name, value in module.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=0, atol=0)


def test_another_time_is_planned_anew_and_the_rate_goes_on(monkeypatch, tmp_path):
    clock = Clock(monkeypatch)
    trained(clock, 100.0, folder=tmp_path)
    longer = Clock(monkeypatch)
    module, trainer = trained(longer, 200.0, tmp_path / "step=40.ckpt", tmp_path)
    assert 0.8 * 200 < trainer.global_step <= 200
    assert longer.rates[0] == pytest.approx(clock.rates[40])
    assert np.abs(np.diff(longer.rates)).max() < 5e-5
    assert module.optimizers().param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-12)


def test_a_training_that_becomes_slower_is_not_badly_late(monkeypatch):
    clock = Clock(monkeypatch, slow=60)
    module, _ = trained(clock, 200.0)
    assert 160 < clock.now < 230
    assert module.optimizers().param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-12)


def test_a_time_of_two_steps_is_no_longer_than_that(monkeypatch):
    clock = Clock(monkeypatch)
    _, trainer = trained(clock, 2.0)
    assert trainer.global_step == clock.validated[-1] == clock.now == 2


def test_few_epochs_are_validated_within(monkeypatch):
    clock = Clock(monkeypatch)
    _, trainer = trained(clock, None, max_epochs=3)
    assert clock.validated[-1] == trainer.global_step == 12
    assert 3 < len(clock.validated) == len(set(clock.validated))
    clock = Clock(monkeypatch)
    _, trainer = trained(clock, None, max_steps=6)
    assert clock.validated[-1] == trainer.global_step == 6


def test_a_run_without_a_length_has_a_sensible_one_for_few_and_for_many_structures():
    """Of 50 structures in batches of 2 and of 50 000."""
    assert epochs_for(25) * 25 == 20_000
    assert epochs_for(25_000) == 10
    assert epochs_for(1) == 1000


def test_epochs_that_follow_from_the_data_end_with_the_schedule_and_stay_on_resuming(monkeypatch, tmp_path):
    monkeypatch.setattr(budget, "USUAL_STEPS", 38)
    module, trainer = trained(Clock(monkeypatch), None, folder=tmp_path, of_data=True)
    assert trainer.current_epoch == 10
    assert trainer.global_step == 40
    assert module.optimizers().param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-12)
    monkeypatch.setattr(budget, "USUAL_STEPS", 100)
    again, _ = trained(Clock(monkeypatch), None, tmp_path / "step=20.ckpt", tmp_path, of_data=True)
    for name, value in module.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=0, atol=0)
