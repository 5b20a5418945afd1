"""The configuration of a run that is resumed: the saved one, with what the command line changes."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from sognet.data import Splits
from sognet.data.split_identity import as_saved, changes
from sognet.errors import InputError
from sognet.model.checkpoint import read_checkpoint
from sognet.renamed_settings import up_to_date
from sognet.training.absolute_paths import PATHS, absolute
from sognet.training.budget import LENGTHS, change_length
from sognet.training.checkpoint_io import LAST, in_folder
from sognet.training.configuration_checks import check_settings
from sognet.training.distributed.processes import global_rank
from sognet.training.own_modules import check_saved_targets

logger = logging.getLogger(__name__)

BELONG_TO_THE_RUN = ("model", "scheduler", "folder", "seed", "start_from")
"""Groups and settings that a run keeps: its checkpoint holds what became of them."""

OF_GROUPS = ("kernel_lr_factor", "latent_lr_factor", "kernel_weight_decay")
"""Settings of the module that end in the groups of parameters of the optimizer."""

OF_THE_COMMAND = ("trust", "data_changed")
"""Settings that hold for one command and are not kept with the run."""


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
    before = saved.copy()
    config = overridden(saved, overrides, folder)
    check_saved_targets(config, trust)
    _check_optimizer(before, config, folder / "checkpoints" / LAST)
    _check_epochs(config, folder / "checkpoints" / LAST)
    if global_rank() == 0:
        save_configuration(config, folder / "config.yaml")
    config.trust = list(trust)
    return config


def _check_optimizer(before: DictConfig, now: DictConfig, last: Path) -> None:
    """Raise an InputError where settings of the optimizer are changed that the checkpoint does not hold: one of an
    earlier version knows the learning rate that the schedule left, not what it started from.
    """
    changed = [
        name
        for group, names in (("optimizer", now.get("optimizer") or ()), ("module", OF_GROUPS))
        for name in (f"{group}.{n}" for n in names)
        if OmegaConf.select(before, name) != OmegaConf.select(now, name)
    ]
    if changed and "optimizer_settings" not in read_checkpoint(last):
        raise InputError(
            f"{changed[0]}: {last} is of an earlier version, which does not keep what the optimizer started from, so "
            f"that it cannot change; go on without it, or start_from={last} to train its weights further in a new run"
        )


def _check_epochs(config: DictConfig, last: Path) -> None:
    """Raise an InputError where a run gets fewer epochs than it has had."""
    most = OmegaConf.select(config, "trainer.max_epochs")
    if not isinstance(most, int) or most < 0:
        return
    begun = read_checkpoint(last).get("epoch", 0) + 1  # epochs, the last of them perhaps in part
    if most < begun - 1:
        name = "epochs" if config.get("epochs") is not None else "trainer.max_epochs"
        raise InputError(f"{name}={most}: the run is in epoch {begun} already; give it more, or leave {name} out")


def moved(config: DictConfig, folder: Path) -> DictConfig:
    """Configuration of a run whose folder has been moved or copied: what was inside of it is so again."""
    values = OmegaConf.to_container(config, resolve=False)
    return OmegaConf.create(in_folder(values, values["folder"], str(folder)) | {"folder": str(folder)})


def of_the_command(config: DictConfig) -> dict[str, Any]:
    """Settings that hold for one command, for the other ranks of its run."""
    return OmegaConf.to_container(OmegaConf.masked_copy(config, [name for name in config if name in OF_THE_COMMAND]))


def save_configuration(config: DictConfig, file: Path) -> None:
    """Write the configuration of a run, in one step, without what holds for one command."""
    partial = file.with_name(f"{file.name}.part")
    OmegaConf.save(OmegaConf.masked_copy(config, [name for name in config if name not in OF_THE_COMMAND]), partial)
    partial.replace(file)  # other ranks may be reading it


def overridden(config: DictConfig, overrides: Sequence[str], folder: Path) -> DictConfig:
    """Configuration of the run in a folder with the values `name=value`, but those of `resume` and `trust`.

    Values are written as for any other run: in Hydra's grammar.

    Raises
    ------
    InputError : a value that the run does not have, that is of the wrong type, or that a resumed run keeps.
    """
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except OverrideParseException as error:
        raise InputError(f"{error.override}: {error}") from None
    changed = []
    config.data_changed = None
    for override in parsed:
        name = override.key_or_group
        if name == "data_changed":
            if override.value() not in ("accept", None):
                raise InputError(f"{override.input_line}: it is accept or null")
            config.data_changed = override.value()
        if name == "resume" or name in OF_THE_COMMAND:
            continue
        if override.is_delete() or override.is_sweep_override():
            raise InputError(f"{override.input_line}: a resumed run takes single values, name=value")
        parent = name.rpartition(".")[0]
        added = override.is_add() and isinstance(OmegaConf.select(config, parent), DictConfig) if parent else False
        if isinstance(OmegaConf.select(config, name, default=None if added else config), DictConfig):
            raise InputError(f"{name}: not a single value of the run in {folder}; a resumed run keeps its groups")
        if name.partition(".")[0] in BELONG_TO_THE_RUN and OmegaConf.select(config, name) != override.value():
            raise InputError(
                f"{name}: a resumed run keeps its {name.partition('.')[0]}, which is in its checkpoint; start another "
                f"run to change it (start_from={folder} goes on from its weights)"
            )
        is_path = name.startswith("dataset.") and name.rpartition(".")[2] in PATHS
        OmegaConf.update(config, name, absolute(override.value()) if is_path else override.value())
        changed.append(name)
    if any(config.get(name) is None for name in changed if name in LENGTHS):  # which says nothing about the length
        raise InputError("resume: a run goes on with a length; give epochs, steps or time a value, or leave them out")
    change_length(config, changed)
    check_settings(config, changed)
    return config


def same_data(config: DictConfig, splits: Splits, saved: Mapping[str, Tensor]) -> Splits:
    """Splits of a run that goes on, as its checkpoint knows them.

    Where the data are others today and `data_changed=accept`, known structures stay in their splits, and new ones are
    trained on.

    Raises
    ------
    InputError : the data have changed and that is not accepted, or cannot be.
    """
    if counts := changes(splits, saved):
        if config.get("data_changed") != "accept":
            raise InputError(
                f"resume={config.folder}: the data set is not the one that the run was started with (structures: "
                f"{counts}); restore the file, or data_changed=accept to go on with every known structure in its split "
                "and new ones in training, or start_from=<checkpoint> to fine-tune on the new data"
            )
        logger.warning("the data set has changed (structures: %s); known structures stay in their splits", counts)
    return as_saved(splits, saved, new="train")


def spent(config: DictConfig) -> str:
    """What a run had to train with, in words, where a resumed run finds nothing of it left."""
    given = [f"{name}={config[name]}" for name in LENGTHS if config.get(name) is not None]
    if not given:
        limits = {limit: config.trainer.get(limit) for limit in ("max_epochs", "max_steps", "max_time")}
        given = [f"trainer.{name}={value}" for name, value in limits.items() if value not in (None, -1)]
    return f"the run has had all of {' or '.join(given)}" if given else "the run is finished"
