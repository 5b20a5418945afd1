"""Which checkpoint of a run is the best, and the names of checkpoints."""

import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import Checkpoint

from sognet.training.checkpoint_io import BEST


def name_the_best(callbacks: Iterable[Checkpoint], folder: Path) -> None:
    """Copy what the callback that compares checkpoints calls the best to best.ckpt, where it has another name."""
    for callback in callbacks:
        path = getattr(callback, "best_model_path", "") if getattr(callback, "monitor", None) else ""
        if not path or not Path(path).is_file():
            continue
        best = folder / BEST
        if Path(path).absolute() != best.absolute() and not _is_copy(best, Path(path)):
            partial = best.with_name(f"{BEST}.part")
            shutil.copy2(path, partial)  # with its time, by which a copy is known
            partial.replace(best)
        return


def name_without_folders(callback: Any) -> None:
    """Have errors such as val/loss in the names of checkpoints stand there as val_loss, in place.

    Lightning writes {val/loss} as val/loss=0.1, a file in a folder of its own.
    """
    name = getattr(callback, "filename", None)
    if name and getattr(callback, "auto_insert_metric_name", False) and re.search(r"\{[^}]*/[^}]*\}", name):
        callback.filename = re.sub(r"\{([^}:]*)", lambda m: f"{m[1].replace('/', '_')}={{{m[1]}", name)
        callback.auto_insert_metric_name = False


def _is_copy(file: Path, source: Path) -> bool:
    """Whether a file is the copy of another as it is now."""
    if not file.is_file():
        return False
    copied, now = file.stat(), source.stat()
    return (copied.st_size, copied.st_mtime_ns) == (now.st_size, now.st_mtime_ns)
