"""Gradients that are not finite end the training."""

from pathlib import Path
from typing import Any

import lightning
import torch
from ase.io import write

from sognet.errors import InputError


class TerminateOnNonFiniteGradient(lightning.Callback):
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
