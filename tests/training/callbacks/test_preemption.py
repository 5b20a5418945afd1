"""A run that is told to stop has its checkpoint on the disk before it says so, and before the job is given back."""

import os
import signal
from types import SimpleNamespace

import pytest
import torch

from sognet.training.callbacks.preemption import PreemptionCheckpoint
from sognet.training.checkpoint_io import AtomicCheckpointIO


def test_checkpoints_that_wait_are_written_before_the_job_is_put_back(tmp_path, monkeypatch):
    """At the end of an epoch, where the last checkpoint may wait in memory: `scontrol requeue` ends the job."""
    last = tmp_path / "last.ckpt"
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f"#!/bin/sh\ncp {last} {tmp_path}/then\n")
    scontrol.chmod(0o755)
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    monkeypatch.setenv("PATH", f"{scontrol.parent}:{os.environ['PATH']}")
    io = AtomicCheckpointIO()
    io.save_checkpoint({"step": 1}, last)
    io.free_at = float("inf")
    trainer = SimpleNamespace(
        is_global_zero=True,
        global_step=2,
        save_checkpoint=lambda path: io.save_checkpoint({"step": 2}, path),
        strategy=SimpleNamespace(checkpoint_io=io, reduce_boolean_decision=lambda decision, all: decision),
    )
    callback = PreemptionCheckpoint(last)
    callback.on_train_epoch_end(trainer, None)
    assert not io.waiting
    callback.signal = signal.SIGUSR1
    with pytest.raises(SystemExit) as ended:
        callback.on_train_epoch_end(trainer, None)
    assert ended.value.code == 128 + signal.SIGUSR1
    assert torch.load(tmp_path / "then") == {"step": 2}
