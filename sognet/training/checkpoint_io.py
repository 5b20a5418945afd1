"""Checkpoint files that are whole or not there: written beside their place, flushed to the disk, then renamed."""

import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from sognet.errors import InputError
from sognet.training.optimizers import without_history

BEST, LAST = "best.ckpt", "last.ckpt"
"""Checkpoints of a run, in `checkpoints/` of its folder: of the lowest validation loss, and to resume from."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint files, but the one before stays until the new one is on the disk.

    Lightning writes to the system's temporary folder and moves the file from there, which across file systems is a
    copy that a crash leaves half done.
    """

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
        """Write a checkpoint; the history of L-BFGS is in the one that runs are resumed from, and in no other.

        Raises
        ------
        InputError : the file cannot be written; an earlier one of this name is untouched.
        """
        path = Path(path)
        if path.name != LAST and "optimizer_states" in checkpoint:
            states = [without_history(state) for state in checkpoint["optimizer_states"]]
            checkpoint = checkpoint | {"optimizer_states": states}
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
