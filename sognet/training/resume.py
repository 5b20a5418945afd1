"""The configuration of a run that is resumed: the saved one, with what the command line changes."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml
from omegaconf import DictConfig, OmegaConf

from sognet.errors import InputError
from sognet.renamed_settings import up_to_date
from sognet.training.checkpoint_io import LAST, in_folder
from sognet.training.distributed.processes import global_rank
from sognet.training.own_modules import check_saved_targets


def resumed_configuration(folder: Path, overrides: Sequence[str], trust: Iterable[str] = ()) -> DictConfig:
    """Configuration of the run in a folder, with the values `name=value` that the command line gives.

    Parameters
    ----------
    folder : of the run.
    overrides : of the command line.
    trust : modules and packages of the user's own that the run may load; the folder says nothing about that.

    Raises
    ------
    InputError : there is no run to continue, a value that it does not have, or code that is not trusted.
    """
    if not (folder / "checkpoints" / LAST).is_file():
        raise InputError(f"resume={folder}: no run with a checkpoint {LAST} to continue")
    saved = moved(up_to_date(OmegaConf.load(folder / "config.yaml")), folder)
    config = overridden(saved, overrides, folder)
    check_saved_targets(config, trust)
    if global_rank() == 0:
        save_configuration(config, folder / "config.yaml")
    config.trust = list(trust)
    return config


def moved(config: DictConfig, folder: Path) -> DictConfig:
    """Configuration of a run whose folder has been moved or copied: what was inside of it is so again."""
    values = OmegaConf.to_container(config, resolve=False)
    return OmegaConf.create(in_folder(values, values["folder"], str(folder)) | {"folder": str(folder)})


def save_configuration(config: DictConfig, file: Path) -> None:
    """Write the configuration of a run, in one step, without what the user trusts."""
    partial = file.with_name(f"{file.name}.part")
    OmegaConf.save(OmegaConf.masked_copy(config, [name for name in config if name != "trust"]), partial)
    partial.replace(file)  # other ranks may be reading it


def overridden(config: DictConfig, overrides: Sequence[str], folder: Path) -> DictConfig:
    """Configuration of the run in a folder with the values `name=value`, but those of `resume` and `trust`.

    Raises
    ------
    InputError : a value that it does not have.
    """
    for name, _, value in (o.lstrip("+").partition("=") for o in overrides):
        if name in ("resume", "trust"):
            continue
        if isinstance(OmegaConf.select(config, name, default=config), DictConfig):
            raise InputError(f"{name}: not a single value of the run in {folder}; a resumed run keeps its groups")
        OmegaConf.update(config, name, yaml.safe_load(value))
    return config
