"""Whatever happens while a checkpoint is written, the one before can be loaded."""

import errno
import multiprocessing
import os
import signal
from pathlib import Path

import pytest
import torch

from sognet.errors import InputError
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
