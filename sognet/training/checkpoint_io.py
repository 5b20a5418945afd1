"""Checkpoint files that are whole or not there: written beside their place, flushed to the disk, then renamed."""

import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from sognet.errors import InputError

BEST, LAST = "best.ckpt", "last.ckpt"
"""Checkpoints of a run, in `checkpoints/` of its folder: of the lowest validation loss, and to resume from."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint files, but the one before stays until the new one is on the disk.

    Lightning writes to the system's temporary folder and moves the file from there, which across file systems is a
    copy that a crash leaves half done.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Raises
        ------
        InputError : the file cannot be written; an earlier one of this name is untouched.
        """
        path = Path(path)
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


def _flush_folder(folder: Path) -> None:
    """Have the rename survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
