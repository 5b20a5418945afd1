"""Folders of runs that cannot be made are refused before Hydra tries to."""

import sys
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class RefuseUnwritable(Callback):
    """Ends a command with the reason where its folder cannot be made."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Make the folder of the run."""
        make(Path(config.hydra.run.dir))

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Make the folder of the sweep."""
        make(Path(config.hydra.sweep.dir))


def make(folder: Path) -> None:
    """Make a folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(
            f"\nerror: the folder of the run, {folder.absolute()}, cannot be made ({error.strerror}); choose another, "
            "paths.outputs=<folder> or hydra.run.dir=<folder>",
            file=sys.stderr,
        )
        sys.exit(1)
