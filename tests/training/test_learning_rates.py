"""Learning rates: warm-up, schedules over the budget, runs that are extended."""

from functools import partial

import lightning
import numpy as np
import pytest
import torch
from fitting import fit
from structures import small_model
from torch.optim import AdamW

from sognet.errors import InputError
from sognet.training.loss import PotentialLoss
from sognet.training.module import PotentialModule

pytestmark = pytest.mark.usefixtures("double")


def rates_of_steps(optimizer_class, seen):
    class Watched(optimizer_class):
        def step(self, closure=None):
            loss = closure()
            seen.append(self.param_groups[0]["lr"])
            super().step()
            return loss

    return Watched


def test_the_learning_rate_warms_up_and_then_follows_its_schedule(graphs):
    seen = []
    schedule = partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=8)
    module = PotentialModule(
        small_model(), PotentialLoss(1.0, 1.0), partial(rates_of_steps(AdamW, seen), lr=0.1), schedule, warmup_steps=4
    )
    fit(module, graphs, [], max_epochs=6)  # one step per epoch
    cosine = [0.05 * (1 + np.cos(np.pi * n / 8)) for n in range(6)]
    assert seen == pytest.approx([c * min(1, (n + 1) / 4) for n, c in enumerate(cosine)])


@pytest.mark.parametrize(
    ("interval", "budget", "length"),
    [
        ("epoch", {"max_epochs": 3}, 6),
        ("step", {"max_epochs": 3}, 6),
        (None, {"max_epochs": 3}, 6),
        ("epoch", {"max_epochs": -1, "max_steps": 6}, 6),
        (None, {"max_epochs": -1, "max_steps": 5}, 5),
        ("step", {"max_epochs": 100, "max_steps": 5}, 5),
        ("step", {"max_epochs": 2, "max_steps": 100}, 4),
    ],
)
def test_a_schedule_spans_the_training(graphs, interval, budget, length):
    """Two steps per epoch; the cosine is that of the epochs or of the steps."""
    seen = []
    schedule = partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=None)
    optimizer = partial(rates_of_steps(AdamW, seen), lr=0.1)
    module = PotentialModule(small_model(), PotentialLoss(1.0, 1.0), optimizer, schedule, scheduler_interval=interval)
    fit(module, graphs, [], batch_size=2, **budget)
    steps = [2 * (n // 2) if interval == "epoch" else n for n in range(length)]
    assert seen == pytest.approx([0.05 * (1 + np.cos(np.pi * n / length)) for n in steps])
    assert module.optimizers().param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-12)


def test_a_schedule_over_an_unknown_time_is_refused(graphs):
    schedule = partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=None)
    module = PotentialModule(small_model(), PotentialLoss(1.0, 1.0), partial(AdamW, lr=0.1), schedule)
    with pytest.raises(InputError, match="set time, epochs or steps"):
        fit(module, graphs, [], max_epochs=-1, max_time="00:00:01:00")


@pytest.mark.parametrize("before", [20, 10])
@pytest.mark.parametrize("stop", [8, 20])
@pytest.mark.parametrize("warmup_steps", [0, 3])
def test_the_rates_of_a_run_that_is_extended_go_on_from_where_they_are(graphs, tmp_path, before, stop, warmup_steps):
    """One step per epoch; the run is stopped, or finished, and then given 40 epochs."""

    def trained(**settings):
        seen = []
        schedule = partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=None)
        optimizer = partial(rates_of_steps(AdamW, seen), lr=0.1)
        module = PotentialModule(small_model(), PotentialLoss(1.0, 1.0), optimizer, schedule, warmup_steps=warmup_steps)
        trainer = fit(module, graphs, [Stop(stop)], **settings)
        torch.save(trainer._checkpoint_connector.dump_checkpoint(), tmp_path / "stopped.ckpt")
        return seen, module.optimizers().param_groups[0]["lr"]

    first, rate = trained(max_epochs=before)
    stop, done = 100, len(first)
    seen, last = trained(max_epochs=40, ckpt_path=tmp_path / "stopped.ckpt")
    assert len(seen) == 40 - done
    assert seen[0] == pytest.approx(rate)
    planned = 0.05 * (1 + np.cos(np.pi * np.arange(41) / 40))
    faded = done + 4  # a tenth of what is left, rounded up
    assert seen[faded - done :] == pytest.approx(planned[faded:40], abs=1e-12)
    assert np.abs(np.diff(seen)).max() <= abs(planned[done] - rate) / (0.1 * (40 - done)) + 0.01
    assert max(seen) <= planned[done] + 1e-9
    assert last == pytest.approx(0.0, abs=1e-12)


class Stop(lightning.Callback):
    """Ends a training after so many epochs."""

    def __init__(self, epochs):
        self.epochs = epochs

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.should_stop = trainer.current_epoch + 1 >= self.epochs


@pytest.mark.parametrize(
    "schedule",
    [
        partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=None),
        partial(torch.optim.lr_scheduler.LinearLR, start_factor=1.0, end_factor=0.01, total_iters=None),
        partial(torch.optim.lr_scheduler.PolynomialLR, power=2.0, total_iters=None),
    ],
)
def test_other_schedules_span_the_training_as_well(graphs, schedule):
    seen, length = [], 10
    optimizer = partial(rates_of_steps(torch.optim.SGD, seen), lr=0.1, momentum=0.9)
    fit(PotentialModule(small_model(), PotentialLoss(1.0, 1.0), optimizer, schedule), graphs, [], max_epochs=length)
    (name,) = (name for name, value in schedule.keywords.items() if value is None)
    parameter = torch.nn.Parameter(torch.zeros(()))
    reference = torch.optim.SGD([parameter], lr=0.1, momentum=0.9)
    torch_schedule = schedule(reference, **{name: 1000})
    expected = []
    for step in range(1000):
        expected.append(reference.param_groups[0]["lr"])
        reference.step()
        if step < 999:
            torch_schedule.step()
    assert seen == pytest.approx([np.interp(999 * n / length, range(1000), expected) for n in range(length)], rel=3e-2)


@pytest.mark.parametrize("stop", [2, 5])
def test_runs_that_kept_the_warm_up_out_of_the_optimizer_go_on_at_the_right_rates(graphs, tmp_path, stop):
    """Their checkpoints hold the rates of the schedule, and the state of no warm-up."""
    schedule = partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=8)

    def trained(**settings):
        seen = []
        optimizer = partial(rates_of_steps(AdamW, seen), lr=0.1)
        module = PotentialModule(small_model(), PotentialLoss(1.0, 1.0), optimizer, schedule, warmup_steps=4)
        return seen, fit(module, graphs, [], **settings)

    whole, _ = trained(max_epochs=6)
    before, trainer = trained(max_epochs=stop)
    checkpoint = trainer._checkpoint_connector.dump_checkpoint()
    checkpoint["lr_schedulers"].pop()
    for group in checkpoint["optimizer_states"][0]["param_groups"]:
        group["lr"] /= min(1.0, (stop + 1) / 4)
    torch.save(checkpoint, tmp_path / "old.ckpt")
    after, _ = trained(max_epochs=6, ckpt_path=tmp_path / "old.ckpt")
    assert before + after == pytest.approx(whole)


@pytest.mark.parametrize("every", [1, 2])
def test_the_learning_rate_falls_on_a_plateau_of_the_validation_loss(graphs, every):
    seen = []
    schedule = partial(torch.optim.lr_scheduler.ReduceLROnPlateau, factor=0.5, patience=0, threshold=1e9)
    module = PotentialModule(
        small_model(), PotentialLoss(1.0, 1.0), partial(rates_of_steps(AdamW, seen), lr=0.1), schedule
    )
    fit(module, graphs, [], max_epochs=5, check_val_every_n_epoch=every)
    assert seen == pytest.approx([0.1, 0.05, 0.025, 0.0125, 0.00625] if every == 1 else [0.1, 0.1, 0.05, 0.05, 0.025])
