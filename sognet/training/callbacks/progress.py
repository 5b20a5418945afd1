"""What a training shows while it runs: a bar on a terminal, a line every 30 seconds in logs."""

import math
import time
from collections.abc import Iterator
from typing import Any

import lightning
from lightning.pytorch.callbacks import EarlyStopping, ProgressBar, RichProgressBar, Timer
from lightning.pytorch.callbacks.progress.rich_progress import BatchesProcessedColumn, RichProgressBarTheme
from rich.progress import BarColumn, TextColumn

from sognet.analysis.numbers import readable
from sognet.progress import SECONDS_PER_LINE, LineClock, duration, on_terminal

VALIDATED = {"val/force_rmse": ("F", "meV/Å"), "val/energy_rmse": ("E", "meV/atom")}
"""Errors of the validation split in a line, with symbol and unit."""


def progress_display() -> ProgressBar:
    """The bar where there is a terminal to draw it on, lines elsewhere."""
    return PotentialProgressBar() if on_terminal() else ProgressLines()


SECONDS_PER_DRAWING = 0.2
"""Between two drawings of the bar within an epoch."""


class PotentialProgressBar(RichProgressBar):
    """Rich progress bar that leaves room for the errors on a line of 80 characters."""

    def __init__(self) -> None:
        super().__init__(theme=RichProgressBarTheme(metrics_format=".3g"))
        self.drawn = -math.inf

    def on_train_batch_end(self, trainer: lightning.Trainer, *others: Any) -> None:
        """Draw, at times and at the end of an epoch."""
        if trainer.is_last_batch or time.monotonic() - self.drawn >= SECONDS_PER_DRAWING:
            super().on_train_batch_end(trainer, *others)
            self.drawn = time.monotonic()

    def configure_columns(self, trainer: lightning.Trainer) -> list:
        """Epoch, bar and number of batches."""
        return [
            TextColumn("[progress.description]{task.description}"),
            BarColumn(bar_width=8),
            BatchesProcessedColumn(self.theme.batch_progress),
        ]

    def get_metrics(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> dict[str, Any]:
        """Errors of the last batch and metrics, without the logger's version number."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return pl_module.batch_errors() | metrics


class ProgressLines(ProgressBar):
    """Prints epoch, errors and the time left, at the end of the first step that is due.

    Parameters
    ----------
    every : seconds between two lines.
    """

    def __init__(self, every: float = SECONDS_PER_LINE) -> None:
        super().__init__()
        self.every = every
        self.enabled = True
        self.clock = LineClock(every)
        self.done_before: dict[str, float] = {}  # shares of the budgets that were used up at the start

    def disable(self) -> None:
        """Print nothing."""
        self.enabled = False

    def enable(self) -> None:
        """Print again."""
        self.enabled = True

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the clock."""
        self.clock = LineClock(self.every)
        self.done_before = dict(_shares(trainer))

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Print where a line is due."""
        self._say_if_due(trainer)

    def on_validation_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Print where a line is due."""
        self._say_if_due(trainer, "validating, ")

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Print where a line is due."""
        self._say_if_due(trainer)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Print where training ended."""
        if self.enabled:
            elapsed = duration(self.clock.elapsed)
            print(f"training ends{why_ended(trainer)}: {self._where(trainer)}{_errors(trainer)}; {elapsed}", flush=True)

    def seconds_left(self, trainer: lightning.Trainer) -> float | None:
        """Seconds until the first of the budgets is used up; None where training has none, or has just begun."""
        timers = [c.time_remaining() for c in trainer.callbacks if isinstance(c, Timer)]
        left = [seconds for seconds in timers if seconds is not None]
        for budget, done in _shares(trainer):
            if (gained := done - self.done_before.get(budget, 0.0)) > 0:
                left.append(self.clock.elapsed / gained * (1 - done))
        return max(0.0, min(left)) if left else None

    def _say_if_due(self, trainer: lightning.Trainer, doing: str = "") -> None:
        if not self.enabled or trainer.sanity_checking or not self.clock.due():
            return
        left = self.seconds_left(trainer)
        time_left = "" if left is None else f", about {duration(left)} left"
        now = time.strftime("%H:%M:%S")
        elapsed = duration(self.clock.elapsed)
        print(f"{now} {doing}{self._where(trainer)}{_errors(trainer)}; {elapsed}{time_left}", flush=True)

    def _where(self, trainer: lightning.Trainer) -> str:
        epoch = min(trainer.current_epoch + 1, max(1, trainer.fit_loop.epoch_progress.current.ready))
        if not trainer.max_epochs or trainer.max_epochs < 0:
            return f"epoch {epoch}, step {trainer.global_step}"
        return f"epoch {min(epoch, trainer.max_epochs)} of {trainer.max_epochs}, step {trainer.global_step}"


def why_ended(trainer: lightning.Trainer) -> str:
    """Why training ended before its last epoch, in brackets; nothing where it did not."""
    for callback in trainer.callbacks:
        if isinstance(callback, EarlyStopping) and callback.wait_count >= callback.patience:
            return f" ({callback.monitor} had not fallen for {callback.patience} validations)"
        if isinstance(callback, Timer) and (left := callback.time_remaining()) is not None and left <= 0:
            return " (the time was up)"
    return ""


def _shares(trainer: lightning.Trainer) -> Iterator[tuple[str, float]]:
    """Which share of the epochs and of the steps is done, of those that are limited."""
    if trainer.max_epochs and trainer.max_epochs > 0:
        batches = trainer.num_training_batches
        progress = trainer.fit_loop.epoch_loop.batch_progress.current.ready / batches if batches else 0.0
        yield "epochs", (trainer.current_epoch + min(1.0, progress)) / trainer.max_epochs
    if trainer.max_steps and trainer.max_steps > 0:
        yield "steps", trainer.global_step / trainer.max_steps


def _errors(trainer: lightning.Trainer) -> str:
    """Errors of the last training batch and of the last validation."""
    batch = [
        f"{symbol} {readable(float(value))} {unit}"
        for name, value in trainer.lightning_module.batch_errors().items()
        for symbol, _, unit in [name.partition(" ")]
    ]
    validated = [
        f"{symbol} {readable(float(trainer.callback_metrics[name]))} {unit}"
        for name, (symbol, unit) in VALIDATED.items()
        if name in trainer.callback_metrics
    ]
    text = f": {', '.join(batch)}" if batch else ""
    return text + (f"; validation {', '.join(validated)}" if validated else "")
