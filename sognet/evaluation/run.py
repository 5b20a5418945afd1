"""`sognet evaluate`: a checkpoint's errors on its own data set or on another."""

import inspect
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from sognet.data import DATA_SETS, Splits
from sognet.errors import InputError
from sognet.evaluation.report import print_summary, report, write_summary
from sognet.model import load_model

DTYPES = {"float32": torch.float32, "float64": torch.float64, None: None}


def evaluate(config: DictConfig) -> None:
    """Load a checkpoint, evaluate it and write `summary.json`, `predictions.extxyz` and figures.

    Raises
    ------
    InputError : the checkpoint or the data cannot be used; says why.
    """
    checkpoint = Path(config.checkpoint)
    if config.dtype not in DTYPES:
        raise InputError(f"dtype must be float32 or float64, got {config.dtype!r}")
    device = config.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    model = load_model(checkpoint, device, DTYPES[config.dtype])
    trained = trained_configuration(checkpoint)
    splits = load_splits(config.dataset if config.get("dataset") else trained.get("dataset"), checkpoint)
    stress = config.stress if config.stress is not None else bool(OmegaConf.select(trained, "loss.stress"))
    batch_size = int(config.batch_size or OmegaConf.select(trained, "batch.eval_batch_size") or 16)
    folder = Path(config.folder).absolute()
    summary = report(model, splits, folder, batch_size, stress=stress, progress=True)
    summary["checkpoint"] = str(checkpoint)
    write_summary(summary, folder / "summary.json")
    print_summary(summary, f"{splits.name}: {checkpoint}")
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


def load_splits(dataset: DictConfig | None, checkpoint: Path) -> Splits:
    """Structures of a dataset group.

    The configuration beside a checkpoint may be a stranger's, so nothing is instantiated: a function of DATA_SETS is
    called with plain values.
    """
    if dataset is None:
        raise InputError(f"no config.yaml beside {checkpoint.parent}; name the data, dataset=files dataset.path=<file>")
    try:
        settings = OmegaConf.to_container(dataset, resolve=True)
    except OmegaConfBaseException as error:
        raise InputError(f"dataset: {error}") from None
    target = settings.pop("_target_", None) if isinstance(settings, dict) else None
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
