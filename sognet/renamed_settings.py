"""Settings that have another name than in earlier versions: refused by their new name where a user types them,
translated where a run of an earlier version is read.
"""

from collections.abc import Iterable
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sognet.errors import InputError

CALLBACKS = "sognet.training.callbacks"

RENAMED = {
    "kernel_lr_factor": "module.kernel_lr_factor",
    "latent_lr_factor": "module.latent_lr_factor",
    "kernel_weight_decay": "module.kernel_weight_decay",
    "warmup_steps": "module.warmup_steps",
    "start_charges": "model.initial_charges",
    "sweep": "hparams_search",
    "simulation.max_uncertainty": "simulation.uncertainty.stop",
    "model.composition_energies": "model.reference_energies",
    "dataset=by_hand": "dataset=manual_download",
    "_target_=sognet.data.by_hand": "_target_=sognet.data.from_manual_download",
    f"_target_={CALLBACKS}.DoubleWhenStalled": f"_target_={CALLBACKS}.float64.SwitchToFloat64",
    f"_target_={CALLBACKS}.StopWhereNotFinite": f"_target_={CALLBACKS}.non_finite.TerminateOnNonFiniteGradient",
    f"_target_={CALLBACKS}.WaitingForBatches": f"_target_={CALLBACKS}.data_loading.DataLoadingMonitor",
    f"_target_={CALLBACKS}.progress.PotentialProgressBar": f"_target_={CALLBACKS}.progress.progress_display",
    "_target_=sognet.training.progress.PotentialProgressBar": f"_target_={CALLBACKS}.progress.progress_display",
    "_target_=sognet.training.dashboard.ErrorsByGroup": f"_target_={CALLBACKS}.validation.ErrorsByGroup",
    "_target_=sognet.training.dashboard.Figures": f"_target_={CALLBACKS}.validation.Figures",
    "_target_=sognet.training.dashboard.TrainingErrors": f"_target_={CALLBACKS}.validation.TrainingErrors",
    "_target_=sognet.training.metrics_file.MetricsFile": "_target_=sognet.training.loggers.metrics_file.MetricsFile",
    "_target_=sognet.training.wandb_run.WandbRun": "_target_=sognet.training.loggers.wandb_run.WandbRun",
}
"""New by old: dotted names (of a setting or a group, with all that is below), or a name and its value."""

ADDED = {
    "train": True,
    "test": True,
    "tags": [],
    "time": None,
    "epochs": None,
    "steps": None,
    "batch._target_": "sognet.data.StructureDataModule",
    "batch._partial_": True,
    "module._target_": "sognet.training.module.PotentialModule",
    "module._partial_": True,
}
"""Settings that runs of earlier versions do not have, and the values that stand for what they did."""


def refuse_renamed(arguments: Iterable[str]) -> None:
    """Raise an InputError that names the new setting where one of the arguments `name=value` is an old one."""
    for argument in arguments:
        name, _, value = argument.lstrip("+~").partition("=")
        for old, new in RENAMED.items():
            old_name, is_value, old_value = old.partition("=")
            if is_value:
                found = value == old_value and (name == old_name or name.endswith(f".{old_name}"))
            else:
                found = name == old_name or name.startswith(f"{old_name}.")
            if found:
                raise InputError(f"{old} is called {new} now")


def refuse_renamed_in(config: DictConfig) -> None:
    """The same for a composed configuration, whose files may be the user's."""
    for old in RENAMED:
        if "=" not in old and OmegaConf.select(config, old, default=refuse_renamed) is not refuse_renamed:
            refuse_renamed([old])


def up_to_date(config: DictConfig) -> DictConfig:
    """Configuration of a training with today's names, and with the settings that it does not have."""
    settings = _with_new_names(config)
    if isinstance(settings, dict):
        for name, value in ADDED.items():
            _put(settings, name.split("."), value)
    return OmegaConf.create(settings)


def with_new_names(config: DictConfig) -> DictConfig:
    """Configuration with today's names."""
    return OmegaConf.create(_with_new_names(config))


def _with_new_names(config: DictConfig) -> Any:
    settings = OmegaConf.to_container(config, resolve=False)
    if isinstance(settings, dict):
        for old, new in RENAMED.items():
            name, is_value, value = old.partition("=")
            if is_value:
                _replace(settings, name, value, new.partition("=")[2])
            else:
                _move(settings, old.split("."), new.split("."))
    return settings


def _replace(node: Any, name: str, old: str, new: str) -> None:
    if isinstance(node, dict):
        if node.get(name) == old:
            node[name] = new
        for value in node.values():
            _replace(value, name, old, new)


def _move(settings: dict[str, Any], old: list[str], new: list[str]) -> None:
    node: Any = settings
    for part in old[:-1]:
        node = node.get(part) if isinstance(node, dict) else None
    if isinstance(node, dict) and old[-1] in node:
        _put(settings, new, node.pop(old[-1]))


def _put(node: Any, path: list[str], value: Any) -> None:
    """Set a value that is not there."""
    for part in path[:-1]:
        node = node.setdefault(part, {}) if isinstance(node, dict) else None
    if isinstance(node, dict):
        node.setdefault(path[-1], value)
