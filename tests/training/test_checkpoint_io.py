"""Whatever happens while a checkpoint is written, the one before can be loaded."""

import errno
import multiprocessing
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sognet.errors import InputError
from sognet.training import checkpoint_io
from sognet.training.checkpoint_io import AtomicCheckpointIO

BEFORE = {"weights": torch.arange(1000.0)}
AFTER = {"weights": -torch.arange(2000.0)}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "run" / "checkpoints" / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint(BEFORE, path)
    return path


def assert_holds(path: Path, expected: dict[str, torch.Tensor]) -> None:
    assert [f.name for f in path.parent.iterdir()] == [path.name]
    assert_saved(path, expected)


def assert_saved(path: Path, expected: dict[str, torch.Tensor]) -> None:
    torch.testing.assert_close(torch.load(path, weights_only=True), expected)


def test_a_checkpoint_replaces_the_one_before(file):
    AtomicCheckpointIO().save_checkpoint(AFTER, file)
    assert_holds(file, AFTER)


def test_a_full_disk_leaves_the_one_before(file):
    file.with_name("last.ckpt.part").symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"No space left.*resume=\S*run$"):
        AtomicCheckpointIO().save_checkpoint(AFTER, file)
    assert_holds(file, BEFORE)


@pytest.mark.parametrize(("where", "name"), [(os, "fsync"), (Path, "replace"), (torch, "save")])
def test_an_error_of_the_file_system_leaves_the_one_before(file, monkeypatch, where, name):
    def fail(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(where, name, fail)
    with pytest.raises(InputError, match="Input/output error"):
        AtomicCheckpointIO().save_checkpoint(AFTER, file)
    monkeypatch.undo()
    assert_holds(file, BEFORE)


@pytest.mark.parametrize("point", ["write", "fsync", "replace"])
def test_a_process_killed_while_it_writes_leaves_the_one_before(file, point):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sognet.training.run"])
    process = context.Process(target=save_and_die, args=(file, point))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    torch.testing.assert_close(torch.load(file, weights_only=True), BEFORE)
    AtomicCheckpointIO().save_checkpoint(AFTER, file)  # what the other left does not matter
    assert_holds(file, AFTER)


@pytest.fixture
def slow(monkeypatch):
    """Writing takes a second, of a clock that stands still otherwise; the clock."""
    now = [100.0]
    flush = os.fsync

    def fsync(descriptor):
        now[0] += 1.0
        flush(descriptor)

    monkeypatch.setattr(checkpoint_io, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(checkpoint_io, "_flush_folder", lambda folder: None)
    return now


def test_writing_takes_a_small_share_of_the_time(slow, tmp_path):
    io, steps, started = AtomicCheckpointIO(), 0, slow[0]
    while steps < 2000:
        slow[0] += 0.1  # a short epoch, which is the best so far
        steps += 1
        io.save_checkpoint({"step": steps}, tmp_path / "best.ckpt")
        io.save_checkpoint({"step": steps}, tmp_path / "last.ckpt")
        assert torch.load(tmp_path / "best.ckpt")["step"] > steps - 200 * 2 - 2
    assert 0.04 < 1.0 - 0.1 * steps / (slow[0] - started) < 0.06


def test_what_waits_is_as_it_was_saved_and_on_the_disk_in_the_end(slow, tmp_path):
    io, weights = AtomicCheckpointIO(), torch.zeros(3)
    for step in range(3):
        weights += 1.0
        io.save_checkpoint({"state": [weights], "step": step}, tmp_path / "last.ckpt")
    assert torch.load(tmp_path / "last.ckpt")["step"] == 0
    weights += 1.0
    io.teardown()
    assert torch.load(tmp_path / "last.ckpt") == {"state": [pytest.approx([3.0, 3.0, 3.0])], "step": 2}


def test_the_last_checkpoint_never_knows_of_a_best_one_that_is_not_on_the_disk(slow, tmp_path):
    io, best, last = AtomicCheckpointIO(), tmp_path / "best.ckpt", tmp_path / "last.ckpt"
    for step in (0, 1):
        io.save_checkpoint({"step": step}, best)
        io.save_checkpoint({"step": step}, last)
    assert torch.load(best)["step"] == torch.load(last)["step"] == 0
    slow[0] += 100.0
    io.save_checkpoint({"step": 2}, last)
    assert (torch.load(best)["step"], torch.load(last)["step"]) == (1, 2)


def test_last_checkpoints_in_the_middle_of_an_epoch_are_written_at_once(slow, tmp_path):
    """They are asked for by a number of steps; the best one, of a validation in an epoch, waits."""
    io = AtomicCheckpointIO()
    for step, ends in ((0, True), (1, False), (2, True)):
        loops = {"fit_loop": {"epoch_loop.batch_progress": {"is_last_batch": ends}}}
        for name in ("best.ckpt", "last.ckpt"):
            io.save_checkpoint({"step": step, "loops": loops}, tmp_path / name)
    assert torch.load(tmp_path / "last.ckpt")["step"] == 1
    assert torch.load(tmp_path / "best.ckpt")["step"] == 1  # with the last one, which says what the best is


def test_checkpoints_of_other_names_are_written_at_once(slow, tmp_path):
    io = AtomicCheckpointIO()
    for name in ("epoch=1.ckpt", "epoch=2.ckpt"):
        io.save_checkpoint(BEFORE, tmp_path / name)
        assert_saved(tmp_path / name, BEFORE)


def save_and_die(file: Path, point: str) -> None:
    def die(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    def write_half(checkpoint, target):
        target.write(b"half a checkpoint")
        target.flush()
        die()

    where, name, action = {
        "write": (torch, "save", write_half), "fsync": (os, "fsync", die), "replace": (Path, "replace", die),
    }[point]  # fmt: skip
    setattr(where, name, action)
    AtomicCheckpointIO().save_checkpoint(AFTER, file)
