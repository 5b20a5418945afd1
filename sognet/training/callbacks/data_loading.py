"""Time that training waits for its batches."""

import logging
import time
from typing import Any

import lightning

WORTH_A_WARNING = 10.0, 0.3
"""Seconds of an epoch, and the share of it spent waiting for batches, from which on a user is told."""

logger = logging.getLogger(__name__)


class DataLoadingMonitor(lightning.Callback):
    """Logs the share of an epoch in which training waits for its next batch, `data_wait`, and says once what helps."""

    def __init__(self) -> None:
        self.started = self.last_end = self.waited = 0.0
        self.told = False

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the clocks."""
        self.started = self.last_end = time.perf_counter()
        self.waited = 0.0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """A run that is resumed in the middle of an epoch counts the rest of it."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """The batch is there, on the device."""
        self.waited += time.perf_counter() - self.last_end

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Waiting for the next batch starts."""
        self.last_end = time.perf_counter()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Log the share."""
        seconds = time.perf_counter() - self.started
        share = self.waited / seconds
        pl_module.log("data_wait", share)
        longest, largest = WORTH_A_WARNING
        if seconds > longest and share > largest and not self.told and trainer.is_global_zero:
            self.told = True
            logger.warning(
                "training waits for its batches in %.0f %% of the time; raise batch.num_workers, prepare the data set "
                "(sognet data prepare), or on a GPU set batch.neighbor_lists=device",
                100 * share,
            )
