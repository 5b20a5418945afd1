"""The configuration of a run that is resumed: the saved one, with what the command line changes."""

from collections.abc import Sequence
from pathlib import Path

import yaml
from omegaconf import DictConfig, OmegaConf

from sognet.errors import InputError
from sognet.renamed_settings import up_to_date
from sognet.training.checkpoint_io import LAST, in_folder
from sognet.training.distributed.processes import global_rank


def resumed_configuration(folder: Path, overrides: Sequence[str]) -> DictConfig:
    """Configuration of the run in a folder, with the values `name=value` that the command line gives.

    Raises
    ------
    InputError : there is no run to continue, or a value that it does not have.
    """
    if not (folder / "checkpoints" / LAST).is_file():
        raise InputError(f"resume={folder}: no run with a checkpoint {LAST} to continue")
    saved = moved(up_to_date(OmegaConf.load(folder / "config.yaml")), folder)
    config = overridden(saved, overrides, folder)
    if global_rank() == 0:
        OmegaConf.save(config, folder / "config.yaml")
    return config


def moved(config: DictConfig, folder: Path) -> DictConfig:
    """Configuration of a run whose folder has been moved or copied: what was inside of it is so again."""
    values = OmegaConf.to_container(config, resolve=False)
    return OmegaConf.create(in_folder(values, values["folder"], str(folder)) | {"folder": str(folder)})


def overridden(config: DictConfig, overrides: Sequence[str], folder: Path) -> DictConfig:
    """Configuration of the run in a folder with the values `name=value`, but that of `resume`.

    Raises
    ------
    InputError : a value that it does not have.
    """
    for name, _, value in (o.lstrip("+").partition("=") for o in overrides):
        if name == "resume":
            continue
        if isinstance(OmegaConf.select(config, name, default=config), DictConfig):
            raise InputError(f"{name}: not a single value of the run in {folder}; a resumed run keeps its groups")
        OmegaConf.update(config, name, yaml.safe_load(value))
    return config
