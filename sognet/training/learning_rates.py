"""Learning rates over a training: a schedule over the share of the budget that is used, or by epochs or training
steps, after a linear warm-up.
"""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import lightning
import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LinearLR, LRScheduler, ReduceLROnPlateau

from sognet.errors import InputError
from sognet.training.callbacks.budget import TrainingBudget

logger = logging.getLogger(__name__)

LENGTHS = ("T_max", "total_iters", "total_steps")
"""Arguments of schedules that stand for the whole training where they are None."""

INTERVALS = ("epoch", "step")

RESOLUTION = 1000
"""Steps of the training for which the rates of a schedule are tabulated."""

FADING = 0.1
"""Part of what is left of a training over which its rates come to those of a budget that has changed."""

NEVER = 10**12
"""Steps between two updates of a schedule that Lightning leaves alone."""


def schedules(
    optimizer: Optimizer,
    make_scheduler: Callable[..., LRScheduler] | None,
    interval: str | None,
    warmup_steps: int,
    trainer: lightning.Trainer,
) -> list[dict[str, Any]]:
    """What Lightning calls lr_scheduler configurations: the schedule, if there is one, then the warm-up.

    A schedule over the whole training holds the warm-up itself. Others multiply the rates, as the warm-up does, so that
    each may have an interval of its own. ReduceLROnPlateau is left to the module where there are validations.

    Raises
    ------
    InputError : an interval that does not exist, or a schedule over a whole training whose length is not known.
    """
    if interval not in (*INTERVALS, None):
        raise InputError(f"scheduler.interval must be epoch or step, got {interval!r}")
    if make_scheduler is not None and (lengths := open_lengths(make_scheduler)):
        in_time = any(isinstance(callback, TrainingBudget) for callback in trainer.callbacks)
        if not in_time and not any(most and most > 0 for most in (trainer.max_epochs, trainer.max_steps)):
            raise InputError(
                "the schedule of the learning rate spans the whole training, whose length is not known; set time, "
                "epochs or steps, or scheduler=plateau or scheduler=none"
            )
        progress = partial(training_progress, trainer)
        by_epochs = interval == "epoch"
        schedule = BudgetSchedule(optimizer, make_scheduler, lengths, progress, warmup_steps, by_epochs)
        return [{"scheduler": schedule, "interval": "step"}]
    found: list[dict[str, Any]] = []
    if make_scheduler is not None:
        schedule = make_scheduler(optimizer)
        budgets = [callback for callback in trainer.callbacks if isinstance(callback, TrainingBudget)]
        by_steps = (trainer.max_steps or -1) > 0 or any(budget.steps for budget in budgets)
        found.append({"scheduler": schedule, "interval": interval or ("step" if by_steps else "epoch")})
        if isinstance(schedule, ReduceLROnPlateau):
            found[0] |= {"monitor": "train/loss", "interval": "epoch"}
            if trainer.datamodule.splits.val and trainer.limit_val_batches != 0:
                found[0] |= {"monitor": "val/loss", "frequency": NEVER}
    if warmup_steps > 1:
        warm_up = LinearLR(optimizer, warm_up_factor(0, warmup_steps), total_iters=warmup_steps - 1)
        found.append({"scheduler": warm_up, "interval": "step"})
    return found


def open_lengths(make_scheduler: Callable[..., LRScheduler] | None) -> list[str]:
    """Arguments of a schedule that stand for the whole training."""
    given = getattr(make_scheduler, "keywords", {})
    return [name for name in LENGTHS if name in given and given[name] is None]


@dataclass(frozen=True)
class Progress:
    """Where a training stands: epochs, with the part of the current one, and steps; None: not limited."""

    epochs: float
    steps: int
    max_epochs: int | None
    max_steps: int | None

    @property
    def limits(self) -> tuple[int | None, int | None]:
        """Epochs and steps that the training may take."""
        return self.max_epochs, self.max_steps

    def used(self, epochs: float, steps: int) -> float:
        """Share of the budget, from 0 to 1, that so many epochs and steps take: of what will be used up first."""
        shares = [done / most for done, most in ((epochs, self.max_epochs), (steps, self.max_steps)) if most]
        return min(1.0, max(shares, default=0.0))


def training_progress(trainer: lightning.Trainer) -> Progress:
    """Progress after a training step, in the loop over the batches of an epoch."""
    batches = trainer.num_training_batches
    done = trainer.fit_loop.epoch_loop.batch_progress.current.ready
    epochs = trainer.current_epoch + (done / batches if batches and math.isfinite(batches) else 0.0)
    max_epochs, max_steps = (most if most and most > 0 else None for most in (trainer.max_epochs, trainer.max_steps))
    return Progress(epochs, trainer.global_step, max_epochs, max_steps)


class BudgetSchedule(LRScheduler):
    """A schedule of PyTorch over the share of the budget that a training has used, after a linear warm-up.

    Where the budget changes, the rates go on from where they are: the difference to the schedule of the new budget
    fades over a tenth of what is left. As long as the budget is not known, the rates stay.

    Parameters
    ----------
    optimizer : whose rates follow.
    make_scheduler : optimizer, and its lengths -> schedule.
    lengths : names of those arguments of `make_scheduler` that stand for the whole training.
    progress : where the training stands after a step.
    warmup_steps : steps over which the rates rise to those of the schedule.
    whole_epochs : whether the schedule goes on at the end of epochs only.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        make_scheduler: Callable[..., LRScheduler],
        lengths: Sequence[str],
        progress: Callable[[], Progress],
        warmup_steps: int = 0,
        whole_epochs: bool = False,
    ) -> None:
        self.progress = progress
        self.warmup_steps = warmup_steps
        self.whole_epochs = whole_epochs
        self.shape = Shape(make_scheduler, lengths, [group["lr"] for group in optimizer.param_groups])
        self.factors = self.shape(0.0)  # rates of the groups over those that they begin with, without the warm-up
        self.epochs, self.steps = 0.0, 0
        self.limits: tuple[int | None, int | None] | None = None
        self.changed_at = 0.0  # share of the budget that was used when it changed
        self.ahead = [0.0 for _ in self.factors]  # factors then less those of the schedule
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        """Rates after the step that was taken."""
        if self.last_epoch > 0:
            self._go_on(self.progress())
        warm = warm_up_factor(self.steps, self.warmup_steps)
        return [base * factor * warm for base, factor in zip(self.base_lrs, self.factors, strict=True)]

    def _go_on(self, now: Progress) -> None:
        if self.limits is None:
            self.limits = now.limits
        elif self.limits != now.limits:
            known, self.limits = any(self.limits), now.limits
            self.changed_at = now.used(self.epochs, self.steps)
            there = self.shape(self.changed_at)
            self.ahead = [before - after for before, after in zip(self.factors, there, strict=True)]
            if known:
                logger.info(
                    "the learning rate goes on from %.3g of its maximum; %.0f %% of the training are done now, and it "
                    "ends with the schedule at its end",
                    self.factors[0],
                    100 * self.changed_at,
                )
        self.steps = now.steps
        if not self.whole_epochs or now.epochs == int(now.epochs):
            self.epochs = now.epochs
            used = now.used(now.epochs, now.steps)
            fade = max(0.0, 1 - (used - self.changed_at) / (FADING * (1 - self.changed_at) or 1.0))
            factors = zip(self.shape(used), self.ahead, strict=True)
            self.factors = [factor + fade * ahead for factor, ahead in factors]

    def state_dict(self) -> dict[str, Any]:
        """Numbers that a resumed run goes on from."""
        left_out = ("optimizer", "progress", "shape")
        return {name: value for name, value in vars(self).items() if name not in left_out and not callable(value)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on; the state may be that of the schedule itself, which earlier versions kept."""
        known = {name: value for name, value in state_dict.items() if name in vars(self)}
        vars(self).update(known)
        if "factors" not in known:
            rates = zip(self._last_lr, self.base_lrs, strict=True)
            self.factors = [rate / base if base else 1.0 for rate, base in rates]


class Shape:
    """Rates of a schedule over those that it begins with, as functions of the share of the training that is done.

    Parameters
    ----------
    make_scheduler : optimizer, and its lengths -> schedule.
    lengths : names of the arguments that stand for the whole training.
    rates : of the groups of parameters.
    """

    def __init__(
        self, make_scheduler: Callable[..., LRScheduler], lengths: Sequence[str], rates: Sequence[float]
    ) -> None:
        groups = [{"params": [torch.nn.Parameter(torch.zeros(()))], "lr": rate} for rate in rates]
        stand_in = torch.optim.SGD(groups, lr=0.0, momentum=0.5)
        self.rates = list(rates)
        self.schedule = make_scheduler(stand_in, **dict.fromkeys(lengths, RESOLUTION))
        self.table: list[list[float]] = []
        if not hasattr(self.schedule, "_get_closed_form_lr"):
            for _ in range(RESOLUTION):
                self.table.append([group["lr"] for group in stand_in.param_groups])
                stand_in.step()
                if len(self.table) < RESOLUTION:
                    self.schedule.step()

    def __call__(self, used: float) -> list[float]:
        """Factors of the groups."""
        if not self.table:
            self.schedule.last_epoch = RESOLUTION * used
            found = self.schedule._get_closed_form_lr()  # what PyTorch's schedules take for a given epoch
        else:
            position = used * (len(self.table) - 1)
            first = min(int(position), len(self.table) - 2)
            part = position - first
            found = [a + part * (b - a) for a, b in zip(self.table[first], self.table[first + 1], strict=True)]
        return [rate / start if start else 0.0 for rate, start in zip(found, self.rates, strict=True)]


def settings_of(optimizer: Optimizer) -> list[dict[str, Any]]:
    """Settings of the groups of an optimizer before training changes them."""
    plain = (bool, int, float, str, tuple, list, type(None))
    return [
        {name: value for name, value in group.items() if name != "params" and isinstance(value, plain)}
        for group in optimizer.param_groups
    ]


def change_settings(
    optimizer: Optimizer,
    schedulers: Sequence[LRScheduler],
    before: Sequence[dict[str, Any]],
    now: Sequence[dict[str, Any]],
) -> None:
    """Give the optimizer of a resumed run the settings that are asked for now, where they differ from those before.

    A learning rate is changed by the same factor as the one that the schedule starts from. Nothing else changes.

    Raises
    ------
    InputError : there are other groups of parameters.
    """
    if len(before) != len(now):
        raise InputError("module.kernel_lr_factor, latent_lr_factor: a resumed run keeps its groups of parameters")
    for i, (group, old, new) in enumerate(zip(optimizer.param_groups, before, now, strict=True)):
        for name in (name for name in new if name in old and new[name] != old[name]):
            logger.info("optimizer: %s is %s from here on, before %s", name, new[name], old[name])
            if name != "lr":
                group[name] = new[name]
                continue
            factor = new["lr"] / old["lr"] if old["lr"] else 1.0
            group["lr"] = group["lr"] * factor if old["lr"] else new["lr"]
            if "initial_lr" in group:
                group["initial_lr"] = new["lr"]
            for scheduler in schedulers:
                if hasattr(scheduler, "base_lrs"):
                    scheduler.base_lrs[i] = new["lr"]
                if hasattr(scheduler, "_last_lr"):
                    scheduler._last_lr[i] = group["lr"]


def warm_up_factor(step: int, warmup_steps: int) -> float:
    """Learning rate of a training step, counted from 0, over that of the schedule."""
    return min(1.0, (step + 1) / max(1, warmup_steps))


def add_warm_up(checkpoint: dict[str, Any], warmup_steps: int) -> None:
    """Give the checkpoint of a version that kept the warm-up out of the optimizer what LinearLR would have left."""
    step = checkpoint["global_step"]
    checkpoint["lr_schedulers"].append({"last_epoch": step, "_step_count": step + 1})
    for group in checkpoint["optimizer_states"][0]["param_groups"]:
        group["lr"] *= warm_up_factor(step, warmup_steps)
