"""Runs that are killed, told to stop or run out of disk, and go on to the same weights."""

import os
import random
import signal
from pathlib import Path

import pytest
import torch
from ase.io import write
from interruptions import assert_same, tiny_run, train_in_process
from omegaconf import OmegaConf
from structures import labelled_atoms

from sognet.training.resume import resumed_configuration

STAGES = "batch.stages=[{batch_size: 2, epochs: 4}, {batch_size: 4, epochs: 4}]"
AVERAGED = ["callbacks=[default,ema]", "callbacks.ema.decay=0.9", "scheduler=cosine", STAGES]

BATCHES_OF_TWO = ["batch.batch_size=2", "scheduler=none"]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("data") / "mine.xyz"
    write(path, [labelled_atoms(4 + i % 4, seed=i) for i in range(20)], format="extxyz")
    return f"dataset.path={path}"


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory) -> Path:
    """A run that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert train_in_process(tiny_run(folder, data, *AVERAGED)) == 0
    return folder


def best(folder: Path) -> tuple[float, Path]:
    """Lowest validation loss that the last checkpoint of a run knows, and the checkpoint that has it."""
    states = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["callbacks"].values()
    (state,) = [s for s in states if str(s.get("best_model_path")).endswith("best.ckpt")]
    return float(state["best_model_score"]), Path(state["best_model_path"])


@pytest.mark.slow
def test_a_run_killed_ten_times_ends_with_the_same_weights(data, whole, tmp_path):
    """At random points: within epochs, steps, validation and the making of checkpoints."""
    draw = random.Random(0)
    config = tiny_run(tmp_path / "run", data, *AVERAGED)
    for _ in range(10):
        assert train_in_process(config, call=draw.randint(1, 60)) == -signal.SIGKILL
    assert train_in_process(config) == 0
    assert_same(whole, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "overrides"),
    [
        (23, AVERAGED),
        (41, AVERAGED),
        (50, ["optimizer=soap", "optimizer.precondition_frequency=3", "trainer.max_epochs=4", *BATCHES_OF_TWO]),
        (50, ["scheduler.interval=step", "module.warmup_steps=20", "trainer.max_epochs=4", "batch.batch_size=2"]),
        (21, ["trainer.accumulate_grad_batches=3", "trainer.max_epochs=4", *BATCHES_OF_TWO]),
    ],
)
def test_a_run_told_to_stop_saves_within_the_epoch_and_goes_on_from_there(data, whole, tmp_path, call, overrides):
    if overrides is not AVERAGED:
        whole = tmp_path / "whole"
        assert train_in_process(tiny_run(whole, data, *overrides)) == 0
    config = tiny_run(tmp_path / "run", data, *overrides)
    assert train_in_process(config, call=call, send=signal.SIGTERM) == 128 + signal.SIGTERM
    progress = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["loops"]["fit_loop"]
    assert progress["epoch_loop.batch_progress"]["current"]["completed"] > 0
    assert not progress["epoch_loop.batch_progress"]["is_last_batch"]
    assert train_in_process(config) == 0
    assert_same(whole, tmp_path / "run")


@pytest.mark.slow
def test_a_run_of_so_many_steps_that_is_killed_ends_with_the_same_weights(data, tmp_path):
    """It goes on from the end of an epoch."""
    settings = ["steps=27", "batch.batch_size=4"]
    assert train_in_process(tiny_run(tmp_path / "whole", data, *settings)) == 0
    config = tiny_run(tmp_path / "run", data, *settings)
    assert train_in_process(config, call=70) == -signal.SIGKILL
    assert train_in_process(config) == 0
    assert_same(tmp_path / "whole", tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("send", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_and_a_closed_terminal_save_between_two_steps(data, whole, tmp_path, send):
    config = tiny_run(tmp_path / "run", data, *AVERAGED)
    assert train_in_process(config, call=50, send=send) == 128 + send
    assert train_in_process(config) == 0
    assert_same(whole, tmp_path / "run")


@pytest.mark.slow
def test_a_run_whose_folder_has_been_moved_goes_on_in_its_new_place(data, whole, tmp_path):
    before, now = tmp_path / "before", tmp_path / "now"
    assert train_in_process(tiny_run(before, data, *AVERAGED), call=60) == -signal.SIGKILL
    before.rename(now)
    config = resumed_configuration(now, [])
    assert str(before) not in OmegaConf.to_yaml(config)
    assert train_in_process(config) == 0
    assert not before.exists()
    assert_same(whole, now)
    assert best(now) == (best(whole)[0], now / "checkpoints" / "best.ckpt")


@pytest.mark.slow
def test_slurm_gets_a_job_back_that_continues_its_run(data, whole, tmp_path):
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f"#!/bin/sh\necho $* >> {tmp_path}/asked\n")
    scontrol.chmod(0o755)
    slurm = {"SLURM_JOB_ID": "42", "PATH": f"{scontrol.parent}:{os.environ['PATH']}"}
    config = tiny_run(tmp_path / "run", data, *AVERAGED)
    assert train_in_process(config, environment=slurm, call=50, send=signal.SIGUSR1) == 128 + signal.SIGUSR1
    assert (tmp_path / "asked").read_text() == "requeue 42\n"
    assert train_in_process(config, "start", slurm | {"SLURM_RESTART_COUNT": "1"}) == 0
    assert_same(whole, tmp_path / "run")


@pytest.mark.slow
def test_a_run_on_a_full_disk_ends_and_goes_on_once_there_is_room(data, whole, tmp_path):
    config = tiny_run(tmp_path / "run", data, *AVERAGED)
    assert train_in_process(config, call=60) == -signal.SIGKILL
    checkpoints = tmp_path / "run" / "checkpoints"
    before = (checkpoints / "last.ckpt").read_bytes()
    (checkpoints / "last.ckpt.part").symlink_to("/dev/full")
    assert train_in_process(config) == 1
    assert (checkpoints / "last.ckpt").read_bytes() == before
    assert train_in_process(config) == 0
    assert_same(whole, tmp_path / "run")


def test_data_that_were_accepted_stay_so_where_the_run_is_killed_before_a_checkpoint(tmp_path):
    file = tmp_path / "mine.xyz"
    frames = [labelled_atoms(4 + i % 4, seed=i) for i in range(21)]
    write(file, frames[:20], format="extxyz")
    config = tiny_run(tmp_path / "run", f"dataset.path={file}", "trainer.max_epochs=1", "scheduler=none")
    assert train_in_process(config) == 0
    write(file, frames, format="extxyz")
    config.trainer.max_epochs = 2
    assert train_in_process(config) == 1
    config.data_changed = "accept"
    assert train_in_process(config, call=2) == -signal.SIGKILL
    config.data_changed = None
    assert train_in_process(config) == 0
    checkpoint = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["epoch"] == 1
    assert sum(len(checkpoint["split_identities"][split]) for split in ("train", "val", "test")) == 21
