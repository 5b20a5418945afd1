"""Sweeps: a member that fails is recorded, the others go on, and a table ends the sweep."""

import logging
import shlex
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from sognet.cli.endings import reason
from sognet.evaluation.runs import print_runs
from sognet.training.distributed.processes import global_rank

logger = logging.getLogger(__name__)

FAILED = "failed.txt"
"""File in the folder of a member that failed: the message, the command line, and where it was raised."""


def in_sweep() -> bool:
    """Whether Hydra runs this process's task as a member of a sweep."""
    return HydraConfig.get().mode == RunMode.MULTIRUN


def run_member(task: Callable[[DictConfig], float | None], config: DictConfig) -> float | None:
    """Run a task as a member of a sweep; infinity, which no search prefers, where it fails."""
    (Path(HydraConfig.get().runtime.output_dir) / FAILED).unlink(missing_ok=True)  # of an attempt before
    try:
        return task(config)
    except Exception as error:
        folder = Path(HydraConfig.get().runtime.output_dir)
        known = reason(error)
        message = known or str(error).strip() or type(error).__name__
        where = "" if known else traceback.format_exc()
        folder.mkdir(parents=True, exist_ok=True)
        settings = shlex.join(HydraConfig.get().overrides.task)
        (folder / FAILED).write_text(f"{message}\n{settings}\n{where}")
        logger.error("%s failed, the sweep goes on: %s", folder.name, message.splitlines()[0])
        return float("inf")


class SweepTable(Callback):
    """Prints the table of all runs at the end of a sweep, and ends with code 1 where members failed."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Print."""
        if global_rank() > 0:
            return
        folder = Path(config.hydra.sweep.dir).absolute()
        if any(folder.rglob("summary.json")):
            print_runs([folder])
        failed = {file.parent.name: file.read_text().splitlines() for file in sorted(folder.rglob(FAILED))}
        common = set(config.hydra.overrides.task)
        for name, (message, settings, *_) in failed.items():
            print(f"failed: {name}: {message} ({', '.join(s for s in shlex.split(settings) if s not in common)})")
        if failed:
            print(f"{len(failed)} runs of the sweep failed, see {FAILED} in their folders below {folder}")
            sys.exit(1)
