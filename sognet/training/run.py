"""One training run: data, model, fit, report."""

import json
import logging
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch_geometric.data import Batch

from sognet.data import Splits, StructureDataModule, build_graph, statistics
from sognet.errors import InputError
from sognet.evaluation.report import print_summary, report, write_summary
from sognet.model import SOGNet, load_model
from sognet.model.build import build_model
from sognet.training.module import PotentialModule

logger = logging.getLogger(__name__)

STANDARDIZATION_STRUCTURES = 100
"""Structures of the training split from which features are standardized."""


def train(config: DictConfig, folder: Path) -> float | None:
    """Train, then report on the best checkpoint; returns the quantity that sweeps minimise.

    Parameters
    ----------
    config : the composed configuration.
    folder : run folder; gets `config.yaml`, `checkpoints/`, `metrics.csv`, `summary.json`, `predictions.extxyz` and
        `figures/`.
    """
    started = time.perf_counter()
    torch.set_float32_matmul_precision("high" if config.trainer.get("allow_tf32", False) else "highest")
    L.seed_everything(config.seed, workers=True, verbose=False)
    splits: Splits = instantiate(config.dataset)
    check_targets(config, splits)
    found = statistics(splits.train)
    model = build_model(config.model, found.species, found.composition_energies, found.force_rms)
    datamodule = StructureDataModule(splits, model.cutoff, seed=config.seed, **instantiate(config.batch))
    if model.standardize:
        sample = splits.train[:: max(1, len(splits.train) // STANDARDIZATION_STRUCTURES)]
        model.set_standardization(Batch.from_data_list([build_graph(s, model.cutoff) for s in sample]))
    module = PotentialModule(
        model,
        instantiate(config.loss),
        instantiate(config.optimizer),
        instantiate(config.scheduler) if config.scheduler else None,
        config.kernel_lr_factor,
    )
    trainer = build_trainer(config, folder, bool(splits.val), datamodule)
    logger.info("%d training, %d validation, %d test structures", *map(len, (splits.train, splits.val, splits.test)))
    trainer.fit(module, datamodule)
    if not trainer.is_global_zero:
        return None
    best = Path(trainer.checkpoint_callback.best_model_path or trainer.checkpoint_callback.last_model_path)
    if not best.is_file():
        raise InputError("training ended before the first checkpoint; raise trainer.max_epochs or trainer.max_time")
    trained = load_model(best, device=module.device)
    trained_for = time.perf_counter() - started
    summary = report(trained, splits, folder, config.batch.eval_batch_size, stress=config.loss.stress > 0)
    summary["seconds"] = round(trained_for, 1)
    summary["epochs"] = trainer.current_epoch
    write_summary(summary, folder / "summary.json")
    for run_logger in trainer.loggers:
        flat = {f"{s}/{k}": v for s in ("train", "val", "test", "all") for k, v in summary.get(s, {}).items()}
        run_logger.log_metrics({f"final/{k}": v for k, v in flat.items()}, step=trainer.global_step)
    print_summary(summary, f"{splits.name}: {summary['epochs']} epochs in {trained_for:.0f} s")
    logger.info("everything is in %s", folder)
    selected = summary["val" if splits.val else "train"]
    return selected.get("force_rmse", selected.get("energy_rmse"))


def build_trainer(
    config: DictConfig, folder: Path, has_validation: bool, datamodule: StructureDataModule
) -> L.Trainer:
    """Trainer with the callbacks and loggers of the configuration."""
    callbacks = [instantiate(c) for c in config.callbacks.values() if c]
    monitor = "val/loss" if has_validation else "train/loss"
    for callback in callbacks:
        if hasattr(callback, "monitor"):
            callback.monitor = monitor
    settings: dict[str, Any] = {}
    if datamodule.stages:
        settings["max_epochs"] = sum(stage.epochs for stage in datamodule.stages)
    return instantiate(
        config.trainer,
        callbacks=callbacks,
        logger=[instantiate(c) for c in config.logger.values() if c],
        default_root_dir=folder,
        reload_dataloaders_every_n_epochs=datamodule.reload_every_n_epochs,
        **settings,
    )


def check_targets(config: DictConfig, splits: Splits) -> None:
    """Raise an InputError where the loss needs a reference value that a structure does not have."""
    for name, attribute in (("energy", "energy"), ("forces", "forces"), ("stress", "stress")):
        if config.loss[name] <= 0:
            continue
        for _, structures in splits:
            for structure in structures:
                if getattr(structure, attribute) is None:
                    raise InputError(
                        f"{structure.source}: no {name}, but the loss weighs it with loss.{name}={config.loss[name]}; "
                        f"set loss.{name}=0 to train without"
                    )
