"""Callbacks of a training."""

import logging
import time
from pathlib import Path
from typing import Any

import lightning
import torch
from ase.io import write

from sognet.errors import InputError
from sognet.evaluation.kernel import fitted_decay
from sognet.training.optimizers import LBFGS

WORTH_A_WARNING = 10.0, 0.3
"""Seconds of an epoch, and the share of it spent waiting for batches, from which on a user is told."""

logger = logging.getLogger(__name__)


class DoubleWhenStalled(lightning.Callback):
    """Goes on in double precision where L-BFGS, started downhill again, still cannot lower the loss in single.

    Rounding of forces of a few eV/Å hides what a step gains once their errors are below about 1 meV/Å. For one process.
    """

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Convert the model after two stalled steps."""
        optimizer = pl_module.optimizers(use_pl_optimizer=False)
        single = next(pl_module.model.parameters()).dtype == torch.float32
        if single and isinstance(optimizer, LBFGS) and optimizer.stalled_steps > 1:
            logger.info("epoch %d: the loss stalls in single precision; going on in double", trainer.current_epoch)
            pl_module.model.double()
            optimizer.state.clear()


class StopWhereNotFinite(lightning.Callback):
    """Stops where a gradient is not finite, before it reaches the weights, and saves the batch's structures.

    Logs the mean and maximum of the gradient's norm over an epoch, before any clipping: `gradient_norm/mean`, `/max`.

    Parameters
    ----------
    folder : of the run; gets `not_finite.extxyz`.
    """

    def __init__(self, folder: str | Path) -> None:
        self.file = Path(folder) / "not_finite.extxyz"
        self.batch: Any = None
        self.evaluations = 0
        self.total = self.largest = torch.zeros(())

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """A run that is resumed in the middle of an epoch counts the rest of it."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Forget the norms of the last epoch."""
        self.evaluations = 0
        self.total = self.largest = torch.zeros((), device=pl_module.device)

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Remember the batch."""
        self.batch = batch

    def on_before_optimizer_step(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Look at the gradients.

        Raises
        ------
        InputError : one is not finite; names the structures and what to do.
        """
        norm = torch.nn.utils.get_total_norm([p.grad for p in pl_module.parameters() if p.grad is not None])
        if norm.isfinite():
            self.evaluations += 1  # of which a line search makes several
            self.total, self.largest = self.total + norm, torch.maximum(self.largest, norm)
            return
        structures = [trainer.datamodule.splits.train[i] for i in self.batch.id.tolist()]
        write(self.file, [s.to_atoms() for s in structures], format="extxyz")
        raise InputError(
            f"epoch {trainer.current_epoch}: the loss or its gradient is not finite for the batch of "
            f"{', '.join(s.source for s in structures)} (saved as {self.file}). The last checkpoint is from before; "
            "look at these structures, or lower optimizer.lr or set trainer.gradient_clip_val"
        )

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Log the norms."""
        mean = self.total / max(1, self.evaluations)
        pl_module.log_dict({"gradient_norm/mean": mean, "gradient_norm/max": self.largest})


class LogDecay(lightning.Callback):
    """Logs the fitted exponent and strength of the long-range kernel of every channel, once an epoch.

    Parameters
    ----------
    box_length : typical length of the boxes in Å, see sognet.evaluation.kernel.
    """

    def __init__(self, box_length: float) -> None:
        self.box_length = box_length

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Fit and log."""
        kernel = pl_module.model.long_range.kernel
        for channel in range(kernel.n_channels):
            decay = fitted_decay(kernel, pl_module.model.cutoff, self.box_length, channel)
            if decay is not None:
                name = f"kernel/{channel}" if kernel.n_channels > 1 else "kernel"
                pl_module.log_dict({f"{name}/exponent": decay.exponent, f"{name}/coulomb_ratio": decay.coulomb_ratio})


class WaitingForBatches(lightning.Callback):
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
