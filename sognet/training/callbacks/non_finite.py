"""Gradients that are not finite end the training."""

from pathlib import Path
from typing import Any

import lightning
import torch
from ase.io import write

from sognet.errors import InputError

NAMED = 8
"""Structures that the message names; the file has all."""


class TerminateOnNonFiniteGradient(lightning.Callback):
    """Stops where a gradient is not finite, before it reaches the weights, and saves the structures.

    They are those of the batches of the step, on all ranks, whose loss is not finite; of all its batches where only the
    gradient is not.

    Logs the mean and maximum of the gradient's norm over an epoch, before any clipping: `gradient_norm/mean`, `/max`.

    Parameters
    ----------
    folder : of the run; gets `not_finite.extxyz`.
    """

    def __init__(self, folder: str | Path) -> None:
        self.file = Path(folder) / "not_finite.extxyz"
        self.step: list[tuple[torch.Tensor, torch.Tensor]] = []  # of each batch of the step its ids, and a finite loss
        self.stepped = False
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
        """Remember which structures are in the batch."""
        if self.stepped:
            self.step, self.stepped = [], False
        self.step.append((batch.id, torch.ones((), dtype=torch.bool, device=batch.id.device)))

    def on_before_backward(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, loss: torch.Tensor
    ) -> None:
        """Remember whether the loss is finite."""
        ids, finite = self.step[-1]
        self.step[-1] = ids, finite & loss.detach().isfinite()

    def on_before_optimizer_step(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Look at the gradients.

        Raises
        ------
        InputError : one is not finite; names the structures and what to do.
        """
        self.stepped = True
        norm = torch.nn.utils.get_total_norm([p.grad for p in pl_module.parameters() if p.grad is not None])
        if norm.isfinite():
            self.evaluations += 1  # of which a line search makes several
            self.total, self.largest = self.total + norm, torch.maximum(self.largest, norm)
            return
        structures = [trainer.datamodule.splits.train[i] for i in self._not_finite()]
        if trainer.is_global_zero:
            write(self.file, [s.to_atoms() for s in structures], format="extxyz")
        trainer.strategy.barrier()  # the end of one rank ends the others
        names = [s.source for s in structures]
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        raise InputError(
            f"epoch {trainer.current_epoch}: the loss or its gradient is not finite for the batch of "
            f"{', '.join(names[:NAMED])}{more} (saved as {self.file}). The last checkpoint is from before; "
            "look at these structures, or lower optimizer.lr or set trainer.gradient_clip_val"
        )

    def _not_finite(self) -> list[int]:
        """Structures of the batches that are to blame, of all ranks."""
        batches = [(ids.tolist(), bool(finite)) for ids, finite in self.step]
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            of_ranks: list[Any] = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(of_ranks, batches)
            batches = [batch for of_rank in of_ranks for batch in of_rank]
        to_blame = [ids for ids, finite in batches if not finite] or [ids for ids, _ in batches]
        return sorted({i for ids in to_blame for i in ids})

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Log the norms."""
        mean = self.total / max(1, self.evaluations)
        pl_module.log_dict({"gradient_norm/mean": mean, "gradient_norm/max": self.largest})
