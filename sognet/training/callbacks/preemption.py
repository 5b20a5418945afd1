"""Runs that are told to stop, by a scheduler or a user: save where training stands, then end."""

import logging
import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import lightning
from lightning.pytorch.callbacks import Checkpoint

logger = logging.getLogger(__name__)

STOPPED = {s: 128 + s for s in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1)}
"""Exit codes of a run that saved and ended because of a signal, as a shell reports signals."""


class PreemptionCheckpoint(Checkpoint):
    """On Ctrl-C, SIGHUP, SIGTERM or SIGUSR1 saves after the step in progress, on all ranks the same.

    The run then exits with 128 + the signal. A second Ctrl-C exits at once; what is ignored, as SIGHUP under nohup,
    stays ignored.

    SIGUSR1 is what `sbatch --signal=SIGUSR1@120` sends before the time is up: the job is then put back into the
    queue and continues in its run folder. Lightning's own handlers save from within the signal handler, in the middle
    of a step, and start the job again in another run folder; these take their place.

    Parameters
    ----------
    path : checkpoint to write, the one from which runs are resumed.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.signal: signal.Signals | None = None
        self.steps_before_batch = 0
        self.speaks = False

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Listen; the trainer restores the earlier handlers when it ends."""
        self.speaks = trainer.is_global_zero
        if threading.current_thread() is threading.main_thread():
            for number in STOPPED:
                if signal.getsignal(number) != signal.SIG_IGN:
                    signal.signal(number, self._note)

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Remember the number of steps, to tell batches that only accumulate gradients."""
        self.steps_before_batch = trainer.global_step

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop here, unless gradients are being accumulated or the epoch ends anyway."""
        if trainer.global_step > self.steps_before_batch and not trainer.is_last_batch:
            self._stop_if_told(trainer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Stop here, after validation."""
        self._stop_if_told(trainer)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal == signal.SIGINT == number:
            raise SystemExit(STOPPED[signal.SIGINT])
        self.signal = signal.Signals(number)
        if number == signal.SIGHUP:
            _print_nothing()
        if number == signal.SIGINT and self.speaks:
            print("\ninterrupted: saving after this step; Ctrl-C again ends at once", flush=True)

    def _stop_if_told(self, trainer: lightning.Trainer) -> None:
        if not trainer.strategy.reduce_boolean_decision(self.signal is not None, all=False):
            return
        trainer.save_checkpoint(self.path)
        if trainer.is_global_zero:
            trainer.strategy.checkpoint_io.write_waiting()
        received = self.signal or signal.SIGTERM  # another rank's
        if trainer.is_global_zero:
            logger.warning("%s: saved %s at step %d", received.name, self.path, trainer.global_step)
            if received == signal.SIGUSR1:
                _requeue()
        raise SystemExit(STOPPED[received])


def _print_nothing() -> None:
    """Let nothing fail that prints to a terminal which is gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        if os.isatty(stream):
            os.dup2(nowhere, stream)


def requeued() -> bool:
    """Whether SLURM has started this job before."""
    return int(os.environ.get("SLURM_RESTART_COUNT", "0")) > 0


def _requeue() -> None:
    """Put the SLURM job that this process belongs to, if any, back into the queue."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or shutil.which("scontrol") is None:
        return
    if array := os.environ.get("SLURM_ARRAY_JOB_ID"):
        job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    code = subprocess.run(["scontrol", "requeue", job], check=False).returncode
    logger.warning("scontrol requeue %s: %s", job, "done" if code == 0 else f"failed with code {code}")
