"""A callback that a command can be given, to see what it trains on and to end it."""

import os
import time
from pathlib import Path
from types import SimpleNamespace

import lightning

from sognet.training.callbacks import budget


class Record(lightning.Callback):
    """Appends a line per batch, `epoch step ids`, to `ids-<rank>.txt`; one that is not counted has no ids.

    Before the step KILL_AT, where that is set in the environment, the process ends as at a power cut.

    Parameters
    ----------
    folder : where to.
    """

    def __init__(self, folder):
        self.folder = Path(folder)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == int(os.environ.get("KILL_AT", "-1")):
            os._exit(9)
        with (self.folder / f"ids-{trainer.global_rank}.txt").open("a") as file:
            ids = batch.id[batch.counted].tolist()
            print(trainer.current_epoch, trainer.global_step, *ids, file=file)


class FastClock(lightning.Callback):
    """Lets the time of a training pass three times as fast on all ranks but the first."""

    def setup(self, trainer, pl_module, stage):
        if trainer.global_rank > 0:
            now = time.monotonic()
            budget.time = SimpleNamespace(monotonic=lambda: now + 3 * (time.monotonic() - now))


class Spoil(lightning.Callback):
    """Makes the reference forces of one structure infinite, on whichever rank has it, in the second epoch.

    Parameters
    ----------
    number : of the structure in the training split.
    file : gets its source.
    """

    def __init__(self, number, file):
        self.number = number
        self.file = Path(file)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        found = batch.id == self.number
        if trainer.current_epoch == 1 and found.any():
            self.file.write_text(trainer.datamodule.splits.train[self.number].source)
            batch.forces = batch.forces.masked_fill(found[batch.batch, None], float("inf"))
