"""Data that a resumed run has accepted stay accepted."""

from collections.abc import Mapping
from pathlib import Path

import lightning
from torch import Tensor

from sognet.model.checkpoint import read_checkpoint
from sognet.training.checkpoint_io import AtomicCheckpointIO


class KeepAcceptedData(lightning.Callback):
    """Writes which structures are in which split into the checkpoint that the run goes on from.

    A run that is stopped before its first checkpoint then goes on without being asked again. All ranks have read the
    checkpoint when training begins.

    Parameters
    ----------
    last : that checkpoint.
    split_identities : see data.split_identity.
    """

    def __init__(self, last: Path, split_identities: Mapping[str, Tensor]) -> None:
        self.last = last
        self.split_identities = dict(split_identities)

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write."""
        if trainer.is_global_zero:
            checkpoint = read_checkpoint(self.last) | {"split_identities": self.split_identities}
            AtomicCheckpointIO().save_checkpoint(checkpoint, self.last)
