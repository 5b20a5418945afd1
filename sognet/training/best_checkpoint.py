"""Which checkpoint of a run is the best."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from lightning.pytorch.callbacks import Checkpoint

from sognet.training.checkpoint_io import BEST


def name_the_best(callbacks: Iterable[Checkpoint], folder: Path) -> None:
    """Copy what the callback that compares checkpoints calls the best to best.ckpt, where it has another name."""
    for callback in callbacks:
        path = getattr(callback, "best_model_path", "") if getattr(callback, "monitor", None) else ""
        if not path or not Path(path).is_file():
            continue
        best = folder / BEST
        if Path(path).absolute() != best.absolute():
            partial = best.with_name(f"{BEST}.part")
            shutil.copyfile(path, partial)
            partial.replace(best)
        return
