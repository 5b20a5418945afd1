"""The best checkpoint under the name that reports and other commands look for."""

from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Checkpoint

from sognet.training.best_checkpoint import name_the_best


class NameTheBest(Checkpoint):
    """Keeps best.ckpt what the callback that compares checkpoints calls the best, under whatever name it saves it.

    Parameters
    ----------
    folder : of the checkpoints.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Where checkpoints are made within epochs."""
        self._name(trainer)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Where they are made after validation."""
        self._name(trainer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Where they are made after an epoch."""
        self._name(trainer)

    def _name(self, trainer: lightning.Trainer) -> None:
        if trainer.is_global_zero:
            name_the_best(trainer.checkpoint_callbacks, self.folder)
