"""The length of a run: given as a time, which is turned into training steps, or that of the data; and validations that
follow the length.
"""

import logging
import math
import time
from typing import Any

import lightning

from sognet.analysis.numbers import readable
from sognet.progress import duration

logger = logging.getLogger(__name__)

FIRST_STEPS = 3
"""Steps that are not measured: they compile, and fill caches."""

FEWEST_STEPS = 5
"""Steps that are measured at least."""

WINDOW = (0.05, 60.0)
"""How long steps are measured: a share of the time, and seconds at most."""

RESERVE = 0.03
"""Part of the time that is left to the report."""

VALIDATION_COST = 0.4
"""Time of a structure in validation over that in training, until it is measured."""

OVERRUN = 1.1
"""Expected time over the time given from which on a plan is shortened."""

GRACE = 10.0
"""Seconds that are never called late: what starting a run and going on with it takes."""

CHECKS = 20
"""Times in a training that its plan is checked."""

VALIDATIONS = 20
"""Validations in a training of fewer epochs than this, where they are cheap."""

USUAL_STEPS = 20_000
"""Training steps of a run without a length: enough for errors to level off, an hour or less of one core."""

EPOCHS = (10, 1000)
"""Epochs of such a run at least, for many structures, and at most, for few."""


def epochs_for(steps_per_epoch: float) -> int:
    """Epochs of a run without a length: about USUAL_STEPS training steps, within EPOCHS."""
    fewest, most = EPOCHS
    return min(most, max(fewest, math.ceil(USUAL_STEPS / steps_per_epoch)))


class TrainingBudget(lightning.Callback):
    """Ends a training after the time given, and validates within the epochs where there are few of them.

    The time is turned into a number of steps once, from the speed of the first steps, so that schedules end at their
    end; the checkpoint keeps that number, and a resumed run takes the same steps as one that nothing interrupted. Only
    where the run would take much longer than its time, fewer steps are left. The first rank decides for all.

    Parameters
    ----------
    seconds : that training may take; None where epochs or steps are given.
    steps : that training takes; None where they are not given. The trainer must not have them as its own limit: with
        one, Lightning resumes a run at the end of an epoch in the wrong place.
    epochs_of_data : whether the number of epochs follows that of the batches of an epoch (epochs_for). The checkpoint
        keeps it.
    """

    def __init__(self, seconds: float | None = None, steps: int | None = None, epochs_of_data: bool = False) -> None:
        self.seconds = seconds
        self.steps = steps
        self.epochs_of_data = epochs_of_data
        self.epochs: int | None = None  # that follow from the data
        self.planned: int | None = None  # steps that the time is turned into
        self.earlier = 0.0  # seconds before this run was resumed
        self.started = time.monotonic()
        self.measured_from: tuple[int, float] | None = None  # step, and time since the start
        self.first_step = 0
        self.usual: tuple[Any, Any] | None = None  # settings of the trainer that a validation within an epoch changes

    @property
    def elapsed(self) -> float:
        """Seconds of training so far."""
        return self.earlier + time.monotonic() - self.started

    def state_dict(self) -> dict[str, Any]:
        """The plan."""
        return {"seconds": self.seconds, "planned": self.planned, "elapsed": self.elapsed, "epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the plan, unless the time is another one now."""
        self.earlier, self.started = state_dict["elapsed"], time.monotonic()
        if state_dict["seconds"] == self.seconds:
            self.planned = state_dict["planned"]
        self.epochs = state_dict.get("epochs")

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Let the trainer know the steps and epochs, once it has found its place; begin to measure."""
        if self.epochs_of_data:
            self._follow_the_data(trainer)
        known = [steps for steps in (self.steps, self.planned) if steps is not None]
        if known:
            trainer.fit_loop.epoch_loop.max_steps = min(known)
        self.first_step, self.measured_from = trainer.global_step, None

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Plan, and validate where that is due."""
        if trainer.fit_loop.epoch_loop._should_accumulate():
            return
        if self.seconds is not None:
            if self.planned is None:
                self._measure(trainer)
            elif self.measured_from is None and trainer.global_step >= self.first_step + FIRST_STEPS:
                self.measured_from = trainer.global_step, self.elapsed  # of a resumed run
            elif self._is_due(trainer, CHECKS):
                self._check(trainer)
        ends = (trainer.max_steps or -1) > 0 and trainer.global_step >= trainer.max_steps
        if ends or (not trainer.is_last_batch and self._is_due(trainer, self._validations(trainer))):
            self._validate_now(trainer)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Go back to the validations that the trainer makes by itself."""
        if self.usual is not None:
            trainer.check_val_every_n_epoch, trainer.val_check_batch = self.usual
            self.usual = None

    def _follow_the_data(self, trainer: lightning.Trainer) -> None:
        """Give the trainer as many epochs as the data ask for."""
        per_epoch = trainer.num_training_batches / trainer.accumulate_grad_batches
        if self.epochs is None:
            self.epochs = trainer.strategy.broadcast(epochs_for(per_epoch))
            logger.info(
                "%d epochs of %d training steps, by the number of structures; time, epochs or steps set another length",
                self.epochs,
                math.ceil(per_epoch),
            )
        trainer.fit_loop.max_epochs = self.epochs

    def _measure(self, trainer: lightning.Trainer) -> None:
        """Plan as soon as enough steps have been measured."""
        step, elapsed = trainer.global_step, self.elapsed
        if self.measured_from is None:
            if step >= self.first_step + FIRST_STEPS:
                self.measured_from = step, elapsed
            self._plan(trainer, step if elapsed >= (1 - RESERVE) * self.seconds else None)
            return
        first, began = self.measured_from
        share, longest = WINDOW
        enough = step >= first + FEWEST_STEPS and elapsed - began >= min(share * self.seconds, longest)
        if enough or elapsed >= self.seconds / 2:
            of_a_step = (elapsed - began) / (step - first) if step > first else elapsed
            of_a_step *= 1 + VALIDATION_COST * _validation_share(trainer)
            self._plan(trainer, step + ((1 - RESERVE) * self.seconds - elapsed) / of_a_step)
        else:
            self._plan(trainer, None)
        if self.planned is not None:
            self.measured_from = step, elapsed
            epochs = self.planned * trainer.accumulate_grad_batches / trainer.num_training_batches
            logger.info(
                "%s are %d training steps, %s epochs",
                duration(self.seconds), self.planned, readable(epochs),
            )  # fmt: skip

    def _check(self, trainer: lightning.Trainer) -> None:
        """Shorten a plan that would take much longer than its time."""
        step, elapsed = trainer.global_step, self.elapsed
        if self.measured_from is None or step < self.measured_from[0] + FEWEST_STEPS:
            return
        first, began = self.measured_from
        of_a_step = (elapsed - began) / max(1, step - first)
        fewer = step + max(0.0, (1 - RESERVE) * self.seconds - elapsed) / of_a_step
        expected = elapsed + (self.planned - step) * of_a_step
        late = expected > OVERRUN * self.seconds + GRACE and fewer < self.planned
        before = self.planned
        self._plan(trainer, fewer if late else None)
        if self.planned != before:
            logger.warning("training is slower than at its start: it ends after %d steps, not %d", self.planned, before)

    def _plan(self, trainer: lightning.Trainer, steps: float | None) -> None:
        """Take over the number of steps of the first rank, if it has one."""
        steps = trainer.strategy.broadcast(steps)
        if steps is not None:
            self.planned = max(trainer.global_step, min(int(steps), self.steps or int(steps)))
            trainer.fit_loop.epoch_loop.max_steps = self.planned

    def _validations(self, trainer: lightning.Trainer) -> int:
        """Validations within the epochs of a training that has few of them; 0 where its end is not known."""
        total = _total_steps(trainer)
        if total is None or not trainer.enable_validation:
            return 0
        epochs = total * trainer.accumulate_grad_batches / trainer.num_training_batches
        affordable = VALIDATION_COST * epochs / max(_validation_share(trainer), 1e-9)
        return int(min(VALIDATIONS, affordable)) if epochs < VALIDATIONS else 0

    def _is_due(self, trainer: lightning.Trainer, times: int) -> bool:
        """Whether this is one of so many steps, evenly spaced over the training."""
        total = _total_steps(trainer)
        step = trainer.global_step
        return total is not None and times * step // total > times * (step - 1) // total

    def _validate_now(self, trainer: lightning.Trainer) -> None:
        if self.usual is None and trainer.enable_validation:
            self.usual = trainer.check_val_every_n_epoch, trainer.val_check_batch
            trainer.check_val_every_n_epoch = None
            trainer.val_check_batch = trainer.fit_loop.epoch_loop.total_batch_idx + 1


def _total_steps(trainer: lightning.Trainer) -> int | None:
    """Steps of the whole training; None where it is not bounded, or not yet."""
    per_epoch = -(-trainer.num_training_batches // trainer.accumulate_grad_batches)
    by_epochs = [trainer.max_epochs * per_epoch] if (trainer.max_epochs or -1) > 0 else []
    by_steps = [trainer.max_steps] if (trainer.max_steps or -1) > 0 else []
    return min((*by_epochs, *by_steps), default=None)


def _validation_share(trainer: lightning.Trainer) -> float:
    """Structures of a validation over those of an epoch of training."""
    splits = trainer.datamodule.splits
    return len(splits.val or ()) / max(1, len(splits.train)) if trainer.enable_validation else 0.0
