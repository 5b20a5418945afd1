"""`sognet evaluate`: the errors of a checkpoint, of several side by side, or of a committee."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from sognet.data import DATA_SETS, Splits
from sognet.errors import InputError
from sognet.evaluation.checkpoints import chosen_device, chosen_dtype, find_checkpoints, short_names
from sognet.evaluation.committee import print_committee, report_committee
from sognet.evaluation.comparison import print_comparison, write_comparison
from sognet.evaluation.predictions import predict_splits
from sognet.evaluation.report import print_summary, report, write_summary
from sognet.model import load_committee, load_model


def evaluate(config: DictConfig) -> None:
    """Evaluate what `checkpoint` names and write `summary.json`, `predictions.extxyz`, tables and figures.

    Several checkpoints get a folder each and a table that compares them, or with `committee` are evaluated together.

    Raises
    ------
    InputError : a checkpoint or the data cannot be used; says why.
    """
    checkpoints = find_checkpoints(config)
    device, dtype = chosen_device(config.device), chosen_dtype(config.dtype)
    models = (
        load_committee(checkpoints, device, dtype)
        if config.committee
        else [load_model(file, device, dtype) for file in checkpoints]
    )
    trained = [trained_configuration(file) for file in checkpoints]
    if config.get("dataset"):
        splits = load_splits(config.dataset, checkpoints[0])
    else:
        splits = shared_splits([settings.get("dataset") for settings in trained], checkpoints)
    stress = config.stress
    if stress is None:
        stress = any(bool(OmegaConf.select(settings, "loss.stress")) for settings in trained)
    batch_size = int(config.batch_size or OmegaConf.select(trained[0], "batch.eval_batch_size") or 16)
    folder = Path(config.folder).absolute()
    names = dict(zip(short_names(checkpoints), models, strict=True))
    if config.committee:
        members = {n: predict_splits(m, splits, batch_size, stress, progress=True) for n, m in names.items()}
        summary = report_committee(members, folder) | {"checkpoint": [str(file) for file in checkpoints]}
        write_summary(summary, folder / "summary.json")
        print_committee(summary, splits.name)
    elif len(names) == 1:
        summary = report(models[0], splits, folder, batch_size, stress, progress=True)
        write_summary(summary | {"checkpoint": str(checkpoints[0])}, folder / "summary.json")
        print_summary(summary, f"{splits.name}: {checkpoints[0]}")
    else:
        summaries = {}
        for (name, model), file in zip(names.items(), checkpoints, strict=True):
            summaries[name] = report(model, splits, folder / name, batch_size, stress, progress=True)
            write_summary(summaries[name] | {"checkpoint": str(file)}, folder / name / "summary.json")
        write_comparison(summaries, folder)
        print_comparison(summaries, f"{splits.name}: {len(names)} checkpoints")
    print(f"everything is in {folder}")


def trained_configuration(checkpoint: Path) -> DictConfig:
    """Configuration of the run that wrote a checkpoint, empty where it is not beside it."""
    file = checkpoint.absolute().parent.parent / "config.yaml"
    if not file.is_file():
        return OmegaConf.create()
    try:
        config = OmegaConf.load(file)
    except (OmegaConfBaseException, YAMLError, UnicodeDecodeError) as error:
        raise InputError(
            f"{file}: not a configuration ({error}); move it away and name the data, dataset=..."
        ) from None
    if not isinstance(config, DictConfig):
        raise InputError(f"{file}: not a configuration of a run; move it away and name the data, dataset=...")
    return config


def shared_splits(datasets: Sequence[DictConfig | None], checkpoints: Sequence[Path]) -> Splits:
    """The data set on which several runs were trained.

    Where they drew their validation structures from different seeds (`val_seed`, the members of an ensemble), training
    and validation structures are put together as `train`: each has been seen by some.

    Raises
    ------
    InputError : they were trained on different data.
    """
    known = [_settings(d, file) for d, file in zip(datasets, checkpoints, strict=True)]
    seeds = [settings.pop("val_seed", None) for settings in known]
    for settings, file in zip(known, checkpoints, strict=True):
        if settings != known[0]:
            differing = sorted(k for k in settings.keys() | known[0].keys() if settings.get(k) != known[0].get(k))
            raise InputError(
                f"{checkpoints[0]} and {file} were trained on different data (dataset.{', dataset.'.join(differing)}); "
                "name the data to compare them on, dataset=..."
            )
    splits = load_splits(datasets[0], checkpoints[0])
    if len(set(seeds)) > 1:
        return Splits(splits.name, train=splits.train + splits.val, test=splits.test)
    return splits


def load_splits(dataset: DictConfig | None, checkpoint: Path) -> Splits:
    """Structures of a dataset group.

    The configuration beside a checkpoint may be a stranger's, so nothing is instantiated: a function of DATA_SETS is
    called with plain values.
    """
    settings = _settings(dataset, checkpoint)
    target = settings.pop("_target_", None)
    module, _, name = str(target).rpartition(".")
    if module != "sognet.data" or name not in DATA_SETS:
        raise InputError(f"dataset._target_ must be one of sognet.data's {', '.join(DATA_SETS)}, got {target!r}")
    read = DATA_SETS[name]
    try:
        inspect.signature(read).bind(**settings)
    except TypeError as error:
        raise InputError(f"dataset: {target}: {error}") from None
    unset = [k for k in ("val_fraction", "test_fraction") if k in settings and settings[k] is None]
    splits = read(**settings | dict.fromkeys(unset, 0.0))
    if unset and not (splits.val or splits.test):
        return Splits(splits.name, test=splits.train)
    return splits


def _settings(dataset: Any, checkpoint: Path) -> dict[str, Any]:
    """Plain values of a dataset group."""
    if dataset is None:
        raise InputError(f"no config.yaml beside {checkpoint.parent}; name the data, dataset=files dataset.path=<file>")
    if not isinstance(dataset, DictConfig):
        raise InputError(f"{checkpoint}: `dataset` of the run's config.yaml is not a group; name the data, dataset=...")
    try:
        return OmegaConf.to_container(dataset, resolve=True)
    except OmegaConfBaseException as error:
        raise InputError(f"dataset: {error}") from None
