"""The folder of a run: made for one run alone, and recognised where a sweep goes on."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from omegaconf import OmegaConf

from sognet.errors import InputError
from sognet.training.callbacks.preemption import requeued
from sognet.training.distributed.processes import global_rank, started_externally

CONFIGURATION, JOB_LOG = "config.yaml", "train.log"
"""What the folder of a run has before it begins."""


def claimed(folder: Path) -> Path:
    """The folder with its `checkpoints` made; another beside it where a run that began in the same second has taken it.

    Raises
    ------
    InputError : it holds a run already, and was asked for by name.
    """
    wanted, number = folder, 1
    while True:
        try:
            (folder / "checkpoints").mkdir(parents=True, exist_ok=requeued())
        except FileExistsError:
            if not _named_by_time(wanted):
                raise InputError(f"{folder} already holds a run; choose another hydra.run.dir") from None
            number += 1
            folder = wanted.with_name(f"{wanted.name}_{number}")
        else:
            return folder


@contextmanager
def unclaimed_where_refused(folder: Path) -> Iterator[None]:
    """Take the folder of a new run away again where the input is refused before anything else is in it."""
    try:
        yield
    except (InputError, InstantiationException):
        files = [file for file in folder.rglob("*") if file.is_file() and file.name not in (CONFIGURATION, JOB_LOG)]
        if global_rank() == 0 and not files:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _named_by_time(folder: Path) -> bool:
    """Whether a run's folder was named by Hydra, and only this process has to know its name."""
    if not HydraConfig.initialized() or started_externally():
        return False
    hydra = HydraConfig.get()
    asked = any(override.startswith("hydra.run.dir=") for override in hydra.overrides.hydra)
    return hydra.mode == RunMode.RUN and not asked and folder == Path(hydra.runtime.output_dir).absolute()


def command_line() -> dict[str, Any]:
    """Options of the groups, and what the command line gives: what tables of runs show, and sweeps recognise."""
    if not HydraConfig.initialized():
        return {"groups": {}, "given": [], "overrides": []}
    hydra = HydraConfig.get()
    groups = {group: str(option) for group, option in hydra.runtime.choices.items() if not group.startswith("hydra/")}
    given = [override.lstrip("+~").partition("=")[0] for override in hydra.overrides.task]
    return {"groups": groups, "given": given, "overrides": list(hydra.overrides.task)}


def is_started_member(folder: Path) -> bool:
    """Whether a folder holds this member of a sweep, which was interrupted and is run again in its folder.

    Raises
    ------
    InputError : it holds another run.
    """
    saved = folder / "config.yaml"
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN or started_externally():
        return False
    if folder != Path(HydraConfig.get().runtime.output_dir).absolute() or not saved.is_file():
        return False
    before = OmegaConf.select(OmegaConf.load(saved), "command.overrides", default=[])
    if list(before) != command_line()["overrides"]:
        raise InputError(
            f"{folder} holds a run with other settings ({', '.join(before) or 'not saved'}); choose another "
            "hydra.sweep.dir"
        )
    return True


def finished_error(folder: Path) -> float | None:
    """What a sweep minimises, of a run that is finished: its force RMSE (meV/Å), else its energy RMSE (meV/atom)."""
    file = folder / "summary.json"
    if not file.is_file():
        return None
    summary = json.loads(file.read_text())
    selected = summary.get("val") or summary["train"]
    return selected.get("force_rmse", selected.get("energy_rmse"))
