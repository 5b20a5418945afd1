"""`sognet evaluate`: a checkpoint's errors on its own data set or on another."""

from pathlib import Path

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

import sognet.data
from sognet.data import Splits
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
    stress = config.stress if config.stress is not None else bool(trained.get("loss", {}).get("stress", 0) > 0)
    batch_size = config.batch_size or trained.get("batch", {}).get("eval_batch_size", 16)
    folder = Path(config.folder).absolute()
    summary = report(model, splits, folder, batch_size, stress=stress, progress=True)
    summary["checkpoint"] = str(checkpoint)
    write_summary(summary, folder / "summary.json")
    print_summary(summary, f"{splits.name}: {checkpoint}")
    print(f"everything is in {folder}")


def trained_configuration(checkpoint: Path) -> DictConfig:
    """Configuration of the run that wrote a checkpoint, empty where it is not beside it."""
    file = checkpoint.absolute().parent.parent / "config.yaml"
    return OmegaConf.load(file) if file.is_file() else OmegaConf.create()


def load_splits(dataset: DictConfig | None, checkpoint: Path) -> Splits:
    """Structures of a dataset group, which may only name functions of sognet.data."""
    if dataset is None:
        raise InputError(f"no config.yaml beside {checkpoint.parent}; name the data, dataset=files dataset.path=<file>")
    target = str(dataset.get("_target_", ""))
    module, _, name = target.rpartition(".")
    nested = [k for k, v in dataset.items() if isinstance(v, DictConfig) and "_target_" in v]
    if module != "sognet.data" or name not in sognet.data.__all__ or nested:
        raise InputError(f"dataset._target_ must be a data set of sognet.data, got {target!r}")
    unset = [k for k in ("val_fraction", "test_fraction") if k in dataset and dataset[k] is None]
    splits: Splits = instantiate(dataset, **dict.fromkeys(unset, 0.0))
    if unset and not (splits.val or splits.test):
        return Splits(splits.name, test=splits.train)
    return splits
