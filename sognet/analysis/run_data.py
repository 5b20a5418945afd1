"""The configuration and the data set of runs, by their checkpoints."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from sognet.data import Splits
from sognet.data.datasets.named import read_splits
from sognet.data.split_identity import as_saved, changes
from sognet.data.splits import EVALUATION_DEFAULTS
from sognet.errors import InputError, MissingFileError
from sognet.model.checkpoint import read_checkpoint
from sognet.renamed_settings import up_to_date

logger = logging.getLogger(__name__)


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
    return up_to_date(config)


def shared_splits(
    datasets: Sequence[DictConfig | None], checkpoints: Sequence[Path], trust: Iterable[str] = ()
) -> Splits:
    """The data set on which several runs were trained.

    Where they drew their validation structures from different seeds (`val_seed`, the members of an ensemble), training
    and validation structures are put together as `train`: each has been seen by some.

    Raises
    ------
    InputError : they were trained on different data.
    """
    known = [_settings(d, file) for d, file in zip(datasets, checkpoints, strict=True)]
    seeds = [settings.pop("val_seed", None) for settings in known]
    for settings in known:
        sources = (settings.get("sources") or {}).values()
        if not any(s.get("skip_invalid") for s in (settings, *sources)):
            settings.pop("partial_labels", None)  # decides what is refused, not what is read
    for settings, file in zip(known, checkpoints, strict=True):
        if settings != known[0]:
            differing = sorted(k for k in settings.keys() | known[0].keys() if settings.get(k) != known[0].get(k))
            raise InputError(
                f"{checkpoints[0]} and {file} were trained on different data (dataset.{', dataset.'.join(differing)}); "
                "name the data to compare them on, dataset=..."
            )
    try:
        splits = load_splits(datasets[0], checkpoints[0], trust)
    except MissingFileError as error:
        raise InputError(
            f"{error}; {checkpoints[0]} was trained on it. Put it back, or name other data, "
            "dataset=files dataset.path=..."
        ) from None
    saved = read_checkpoint(checkpoints[0]).get("split_identities", {})
    if counts := changes(splits, saved):
        logger.warning(
            "%s: the data set has changed since training (structures: %s); known structures are counted in their "
            "splits, new ones in test",
            checkpoints[0],
            counts,
        )
    splits = as_saved(splits, saved, new="test")
    if len(set(seeds)) > 1:
        return Splits(splits.name, train=splits.train + splits.val, test=splits.test)
    return splits


def load_splits(dataset: DictConfig | None, checkpoint: Path, trust: Iterable[str] = ()) -> Splits:
    """Structures of a dataset group.

    The configuration beside a checkpoint may be a stranger's: only a data set of this package or a function that is
    trusted is called, with plain values.
    """
    settings = _settings(dataset, checkpoint)
    unset = {k: v for k, v in EVALUATION_DEFAULTS.items() if k in settings and settings[k] is None}
    splits = read_splits(settings | unset, trust)
    if unset.keys() & {"val_fraction", "test_fraction"} and not (splits.val or splits.test):
        return Splits(splits.name, test=splits.train)
    return splits


def with_charge_key(dataset: DictConfig, charge_key: str, given: Sequence[str]) -> DictConfig:
    """A data set of files whose total charges are read under a model's name of them, unless a command names another.

    Parameters
    ----------
    dataset : group of the configuration.
    charge_key : of the model.
    given : settings of the command line.
    """
    if "charge_key" not in dataset or any(o.lstrip("+~").startswith("dataset.charge_key=") for o in given):
        return dataset
    return OmegaConf.merge(dataset, {"charge_key": charge_key})


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
