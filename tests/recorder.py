"""Callbacks that a command can be given, to see what it trains on and to end it."""

import os
from pathlib import Path

import lightning


class Record(lightning.Callback):
    """Appends a line per batch, `epoch step ids`, to `ids-<rank>.txt`; one that is not counted has no ids.

    Parameters
    ----------
    folder : where to.
    kill_at : step before which the process kills itself, as a power cut would.
    """

    def __init__(self, folder, kill_at=None):
        self.folder, self.kill_at = Path(folder), kill_at

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.kill_at:
            os._exit(9)
        with (self.folder / f"ids-{trainer.global_rank}.txt").open("a") as file:
            ids = batch.id[batch.counted].tolist()
            print(trainer.current_epoch, trainer.global_step, *ids, file=file)
