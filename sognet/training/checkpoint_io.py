"""Checkpoint files that are whole or not there: written beside their place, flushed to the disk, then renamed; and no
more often than a small share of the training time allows.
"""

import os
import time
from copy import copy
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from sognet.errors import InputError
from sognet.training.optimizers import without_history

BEST, LAST = "best.ckpt", "last.ckpt"
"""Checkpoints of a run, in `checkpoints/` of its folder: of the lowest validation loss, and to resume from."""

WRITING_SHARE = 0.05
"""Part of the training time that writing the checkpoints of a run may take."""

LONGEST_WAIT = 60.0
"""Seconds after which a checkpoint is written whatever writing takes."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint files, but the one before stays until the new one is on the disk.

    Lightning writes to the system's temporary folder and moves the file from there, which across file systems is a
    copy that a crash leaves half done.

    The best checkpoint and the last one wait in memory where epochs are short: what is written next takes their place,
    and they are on the disk when training ends, also by a signal or an error. A process that is killed goes on from the
    latest ones on the disk, from before at most an epoch and twenty times as long as they took to write. A last one in
    the middle of an epoch, which is asked for by a number of steps, does not wait.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waiting: dict[Path, dict[str, Any]] = {}
        self.written: set[Path] = set()
        self.free_at = 0.0  # time from which they are written again

    def load_checkpoint(self, path: str | Path, *arguments: Any, **settings: Any) -> dict[str, Any]:
        """Read a checkpoint; paths of the callbacks follow where the folder of the run has been moved.

        Lightning forgets the best value so far where the folder of the checkpoints is another, and so would overwrite
        the best checkpoint by the next.
        """
        checkpoint = super().load_checkpoint(path, *arguments, **settings)
        for state in checkpoint.get("callbacks", {}).values():
            before = state.get("dirpath") if isinstance(state, dict) else None
            if before and Path(before).name == Path(path).absolute().parent.name:
                moved = in_folder(dict(state), before, str(Path(path).absolute().parent))
                state.update(moved)
        return checkpoint

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint, or keep it until there is time; the history of L-BFGS is in the one that runs are resumed
        from, and in no other.

        Raises
        ------
        InputError : the file cannot be written; an earlier one of this name is untouched.
        """
        path = Path(path)
        if path.name != LAST and "optimizer_states" in checkpoint:
            states = [without_history(state) for state in checkpoint["optimizer_states"]]
            checkpoint = checkpoint | {"optimizer_states": states}
        self.waiting.pop(path, None)
        if path.name not in (BEST, LAST):
            _write(checkpoint, path)
        elif path in self.written and time.monotonic() < self.free_at and not _asked_for(checkpoint, path):
            self.waiting[path] = copied(checkpoint)
        else:
            if path.name == LAST:  # which says what the best is
                self.write_waiting()
            self._write_timed(checkpoint, path)

    def write_waiting(self) -> None:
        """Write what waits in memory.

        Raises
        ------
        InputError : see `save_checkpoint`.
        """
        for path in sorted(self.waiting, key=lambda path: path.name == LAST):
            self._write_timed(self.waiting.pop(path), path)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint from the disk and from memory."""
        self.waiting.pop(Path(path), None)
        super().remove_checkpoint(path)

    def teardown(self) -> None:
        """Write what waits, at the end of a training, however it ends."""
        self.write_waiting()

    def _write_timed(self, checkpoint: dict[str, Any], path: Path) -> None:
        started = time.monotonic()
        _write(checkpoint, path)
        self.written.add(path)
        ended = time.monotonic()
        self.free_at = max(self.free_at, ended) + min((ended - started) / WRITING_SHARE, LONGEST_WAIT)


def _asked_for(checkpoint: dict[str, Any], path: Path) -> bool:
    """Whether it is the last checkpoint, in the middle of an epoch."""
    progress = checkpoint.get("loops", {}).get("fit_loop", {}).get("epoch_loop.batch_progress", {})
    return path.name == LAST and not progress.get("is_last_batch", True)


def _write(checkpoint: dict[str, Any], path: Path) -> None:
    partial = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _flush_folder(path.parent)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        partial.unlink(missing_ok=True)
        before = "the one before is untouched: make room and go on with" if path.is_file() else "go on with"
        raise InputError(
            f"{path}: the checkpoint could not be written ({str(error).splitlines()[0]}); "
            f"{before} sognet train resume={path.parent.parent}"
        ) from error


def copied(values: Any) -> Any:
    """Plain values and tensors of a checkpoint as they are now, the tensors on the CPU."""
    if isinstance(values, torch.Tensor):
        return values.detach().to("cpu", copy=True)
    if isinstance(values, dict):
        kept = copy(values)  # with the versions of its modules, which a state_dict has as an attribute
        kept.update((key, copied(value)) for key, value in values.items())
        return kept
    if isinstance(values, list | tuple):
        parts = [copied(value) for value in values]
        return parts if isinstance(values, list) else tuple(parts)
    return values


def in_folder(values: Any, before: str, folder: str) -> Any:
    """Plain values with another folder in place of the one before, in paths that begin with it."""
    if isinstance(values, dict):
        return {in_folder(key, before, folder): in_folder(value, before, folder) for key, value in values.items()}
    if isinstance(values, list):
        return [in_folder(value, before, folder) for value in values]
    if isinstance(values, str) and (values == before or values.startswith(f"{before}{os.sep}")):
        return folder + values.removeprefix(before)
    return values


def _flush_folder(folder: Path) -> None:
    """Have the rename survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
