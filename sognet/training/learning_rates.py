"""Learning rates over a training: a schedule by epochs or by training steps, after a linear warm-up."""

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

import lightning
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LinearLR, LRScheduler, ReduceLROnPlateau

from sognet.errors import InputError

logger = logging.getLogger(__name__)

LENGTHS = ("T_max", "total_iters", "total_steps")
"""Arguments of schedules that stand for the whole training where they are None."""

INTERVALS = ("epoch", "step")


def schedules(
    optimizer: Optimizer,
    make_scheduler: Callable[..., LRScheduler] | None,
    interval: str,
    warmup_steps: int,
    trainer: lightning.Trainer,
) -> list[dict[str, Any]]:
    """What Lightning calls lr_scheduler configurations: the schedule, if there is one, then the warm-up.

    Both multiply the rates, so each may have an interval of its own.

    Raises
    ------
    InputError : an interval that does not exist, or a schedule over a whole training whose length is not known.
    """
    if interval not in INTERVALS:
        raise InputError(f"scheduler.interval must be epoch or step, got {interval!r}")
    found: list[dict[str, Any]] = []
    if make_scheduler is not None:
        lengths = open_lengths(make_scheduler, interval, trainer)
        found.append({"scheduler": make_scheduler(optimizer, **lengths), "interval": interval})
        if isinstance(found[0]["scheduler"], ReduceLROnPlateau):
            validated = bool(trainer.datamodule.splits.val)
            every = trainer.check_val_every_n_epoch if validated else 1
            found[0] |= {"monitor": "val/loss" if validated else "train/loss", "interval": "epoch", "frequency": every}
    if warmup_steps > 1:
        warm_up = LinearLR(optimizer, warm_up_factor(0, warmup_steps), total_iters=warmup_steps - 1)
        found.append({"scheduler": warm_up, "interval": "step"})
    return found


def open_lengths(
    make_scheduler: Callable[..., LRScheduler] | None, interval: str, trainer: lightning.Trainer
) -> dict[str, int]:
    """Arguments of a schedule that stand for the whole training, with their values."""
    given = getattr(make_scheduler, "keywords", {})
    names = [name for name in LENGTHS if name in given and given[name] is None]
    return dict.fromkeys(names, training_length(trainer, interval)) if names else {}


def span(scheduler: LRScheduler, lengths: dict[str, int], warm_up: float) -> None:
    """Have the schedule of a resumed run span the training where that is longer or shorter than it was: the rates are
    then those of a training that was planned like this. `warm_up`: factor of the warm-up at this step.
    """
    if all(getattr(scheduler, name) == value for name, value in lengths.items()):
        return
    vars(scheduler).update(lengths)
    rates = scheduler._get_closed_form_lr()  # what PyTorch's schedules take for a given epoch
    scheduler._last_lr = [rate * warm_up for rate in rates]
    for group, rate in zip(scheduler.optimizer.param_groups, scheduler._last_lr, strict=True):
        group["lr"] = rate


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


def training_length(trainer: lightning.Trainer, interval: str) -> int:
    """Epochs or training steps of a training.

    Lightning's estimated_stepping_batches would set up the loader before a resumed run knows its place in the epoch.

    Raises
    ------
    InputError : neither is bounded.
    """
    epochs = trainer.max_epochs if trainer.max_epochs > 0 else math.inf
    if interval == "epoch" and trainer.max_steps < 0 and math.isfinite(epochs):
        return trainer.max_epochs
    batches = trainer.num_training_batches  # once training has started, when a loader must no longer be laid out anew
    if not math.isfinite(batches):
        batches, limit = len(trainer.datamodule.train_dataloader()), trainer.limit_train_batches
        batches = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
    per_epoch = math.ceil(batches / trainer.accumulate_grad_batches)
    steps = min(epochs * per_epoch, trainer.max_steps if trainer.max_steps > 0 else math.inf)
    if not math.isfinite(steps):
        raise InputError(
            "the schedule of the learning rate spans the whole training, whose length is not known; set "
            "trainer.max_epochs or trainer.max_steps, or scheduler=plateau or scheduler=none"
        )
    return int(steps) if interval == "step" else math.ceil(steps / per_epoch)


def warm_up_factor(step: int, warmup_steps: int) -> float:
    """Learning rate of a training step, counted from 0, over that of the schedule."""
    return min(1.0, (step + 1) / max(1, warmup_steps))


def add_warm_up(checkpoint: dict[str, Any], warmup_steps: int) -> None:
    """Give the checkpoint of a version that kept the warm-up out of the optimizer what LinearLR would have left."""
    step = checkpoint["global_step"]
    checkpoint["lr_schedulers"].append({"last_epoch": step, "_step_count": step + 1})
    for group in checkpoint["optimizer_states"][0]["param_groups"]:
        group["lr"] *= warm_up_factor(step, warmup_steps)
