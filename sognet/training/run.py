"""One training run: data, model, fit, report."""

import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch_geometric.data import Batch

from sognet.analysis.model_report import box_length, print_summary, report, write_summary
from sognet.data import Splits, Stage, Structure, StructureDataModule, build_graph, cached_statistics
from sognet.data.split_contents import contents
from sognet.data.splits import fill_fractions
from sognet.errors import InputError
from sognet.model import SOGNet, load_model
from sognet.model.build import build_model
from sognet.model.checkpoint import read_checkpoint
from sognet.training.callbacks.kernel_decay import KernelDecayMonitor
from sognet.training.callbacks.preemption import PreemptionCheckpoint, requeued
from sognet.training.checkpoint_io import AtomicCheckpointIO
from sognet.training.configuration_checks import check, check_one_batch
from sognet.training.distributed.processes import distributed, global_rank
from sognet.training.fine_tuning import freeze, model_to_fine_tune
from sognet.training.loggers.media import log_configuration, log_media, pixels
from sognet.training.loggers.metrics_file import forget_metrics_after
from sognet.training.loggers.wandb_run import WandbRun
from sognet.training.loss import PotentialLoss
from sognet.training.module import PotentialModule

logger = logging.getLogger(__name__)

BEST, LAST = "best.ckpt", "last.ckpt"

LONGEST_NAME = 128
"""Characters that wandb allows for the name of a run."""

STANDARDIZATION_STRUCTURES = 100
"""Structures of the training split from which features are standardized and latent variables get their start."""

REPORTED_STRUCTURES = 10_000
"""Structures of a streamed training split that the report at the end is about, evenly spaced."""


def run(config: DictConfig) -> float | None:
    """`sognet train`: save the configuration in the run folder and train; returns what sweeps minimise.

    Raises
    ------
    InputError : the folder already holds a run, or `resume` names none.
    """
    if config.resume:
        return train(resumed_configuration(Path(config.resume).absolute(), HydraConfig.get().overrides.task))
    check(config, HydraConfig.get().overrides.task if HydraConfig.initialized() else ())
    if config.start_from:
        config.start_from = str(Path(config.start_from).absolute())
    folder = Path(config.folder).absolute()
    if requeued() and (folder / "checkpoints" / LAST).is_file():
        return train(resumed_configuration(folder, []))
    config = OmegaConf.create(OmegaConf.to_container(config, resolve=True))
    config.folder = str(folder)
    if config.batch.stages:
        config.trainer.max_epochs = sum(stage.epochs for stage in config.batch.stages)
    fill_fractions(config.dataset)
    wandb_run = config.logger.get("wandb")
    if HydraConfig.get().mode == RunMode.MULTIRUN and wandb_run and not wandb_run.group:
        config.logger.wandb.group = folder.parent.name
        differs = HydraConfig.get().job.override_dirname
        config.logger.wandb.name = differs if 0 < len(differs) <= LONGEST_NAME else folder.name[:LONGEST_NAME]
    if global_rank() == 0:
        try:
            (folder / "checkpoints").mkdir(parents=True, exist_ok=requeued())
        except FileExistsError:
            raise InputError(f"{folder} already holds a run; wait a second or choose another hydra.run.dir") from None
        OmegaConf.save(config, folder / "config.yaml")
    return train(config)


def resumed_configuration(folder: Path, overrides: Sequence[str]) -> DictConfig:
    """Configuration of the run in a folder, with the values `name=value` that the command line gives.

    Raises
    ------
    InputError : there is no run to continue, or a value that it does not have.
    """
    if not (folder / "checkpoints" / LAST).is_file():
        raise InputError(f"resume={folder}: no run with a checkpoint {LAST} to continue")
    config = overridden(OmegaConf.load(folder / "config.yaml"), overrides, folder)
    config.folder = str(folder)
    if global_rank() == 0:
        OmegaConf.save(config, folder / "config.yaml")
    return config


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


def train(config: DictConfig) -> float | None:
    """Train, from the last checkpoint where the run folder has one, and report on the best.

    Returns the force RMSE (meV/Å) of the validation split, on rank 0.

    The run folder gets `checkpoints/`, `metrics.csv`, `summary.json`, `predictions.extxyz` and `figures/`.

    Parameters
    ----------
    config : the composed configuration without interpolations.
    """
    started = time.perf_counter()
    folder = Path(config.folder)
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    splits: Splits = instantiate(config.dataset)
    loss: PotentialLoss = instantiate(config.loss)
    check_targets(loss, splits)
    check_one_batch(config, len(splits.train))
    last = folder / "checkpoints" / LAST
    last = last if last.is_file() else None  # of the run that this one continues
    model = starting_model(config, splits, last)
    if str(config.trainer.precision).startswith("64"):
        model.double()  # Lightning does it after it has loaded a checkpoint, which would round the weights
    batch = dict(config.batch, stages=[Stage(**stage) for stage in config.batch.stages])
    datamodule = StructureDataModule(splits, model.cutoff, seed=config.seed, **batch)
    module = PotentialModule(
        model,
        loss,
        instantiate(config.optimizer),
        instantiate(config.scheduler) if config.scheduler else None,
        kernel_lr_factor=config.kernel_lr_factor,
        latent_lr_factor=config.latent_lr_factor,
        kernel_weight_decay=config.kernel_weight_decay,
        warmup_steps=config.warmup_steps,
    )
    logger.info("%d training, %d validation, %d test structures", *map(len, (splits.train, splits.val, splits.test)))
    reported = thinned(splits) if splits.statistics else splits
    with distributed(config.trainer, folder / "config.yaml"):
        extra = [KernelDecayMonitor(box_length(reported))] if model.long_range else []
        trainer = build_trainer(config, bool(splits.val), datamodule, extra)
        if last and trainer.is_global_zero:
            forget_metrics_after(folder / "metrics.csv", read_checkpoint(last).get("global_step", 0))
        if trainer.is_global_zero:
            for run_logger in trainer.loggers:
                log_configuration(run_logger, config)
        trainer.fit(module, datamodule, ckpt_path=last, weights_only=True)
        if not trainer.is_global_zero:
            return None
    seconds = module.earlier_seconds + time.perf_counter() - started
    checkpoints = [folder / "checkpoints" / name for name in (BEST, LAST)]
    best = next((file for file in checkpoints if file.is_file()), None)
    if best is None:
        raise InputError("training ended before the first checkpoint; raise trainer.max_epochs or trainer.max_time")
    trained = load_model(best, device=module.device)
    summary = report(trained, reported, folder, config.batch.eval_batch_size, stress=loss.uses("stress"))
    summary |= {"seconds": round(seconds, 1), "epochs": trainer.current_epoch}
    write_summary(summary, folder / "summary.json")
    final = {f"final/{s}/{k}": v for s in ("train", "val", "test", "all") for k, v in summary.get(s, {}).items()}
    images = {f"figures/{name}": pixels(path) for name, path in summary["figures"].items()}
    for run_logger in trainer.loggers:
        run_logger.log_metrics(final, step=trainer.global_step)
        log_media(run_logger, {}, images, trainer.global_step)
        run_logger.finalize("success")
    print_summary(summary, f"{splits.name}: {summary['epochs']} epochs in {seconds:.0f} s")
    print(f"everything is in {folder}")
    for run_logger in trainer.loggers:
        if isinstance(run_logger, WandbRun):
            run_logger.close(best, summary["val" if splits.val else "train"])
    selected = summary["val" if splits.val else "train"]
    return selected.get("force_rmse", selected.get("energy_rmse"))


def starting_model(config: DictConfig, splits: Splits, last: Path | None) -> SOGNet:
    """Model that training starts from: of the model group, or fine-tuned; `last`: checkpoint of a resumed run.

    Raises
    ------
    InputError : a checkpoint or a pattern of `freeze` that cannot be used.
    """
    if config.start_from:
        energies = config.model.reference_energies
        model = load_model(last) if last else model_to_fine_tune(config.start_from, splits.train, energies)
    else:
        counts_neighbors = config.model.short_range.get("n_neighbors", 0.0) is None
        cutoff = config.model.short_range.cutoff if counts_neighbors else None
        found = splits.statistics or cached_statistics(splits.train, cutoff, config.paths.data)
        model = build_model(config.model, found)
        if not last:
            initialize(model, splits.train, config.start_charges)
    freeze(model, config.freeze)
    return model


def initialize(model: SOGNet, structures: Sequence[Structure], start_charges: DictConfig | None) -> None:
    """Standardize the features of a new model and start its latent variables, where it has any.

    Raises
    ------
    InputError : the latent variables cannot start from these charges.
    """
    if not model.long_range:
        start_charges = None
    if not (model.standardize or start_charges):
        return
    sample = structures[:: max(1, len(structures) // STANDARDIZATION_STRUCTURES)]
    graph = Batch.from_data_list([build_graph(s, model.cutoff) for s in sample])
    if model.standardize:
        model.set_standardization(graph)
    if start_charges:
        try:
            model.start_latents(graph, start_charges)
        except ValueError as error:
            raise InputError(f"start_charges: {error}") from None


def build_trainer(
    config: DictConfig, has_validation: bool, datamodule: StructureDataModule, extra: list[lightning.Callback]
) -> lightning.Trainer:
    """Trainer with the callbacks and loggers of the configuration, and extra callbacks."""
    callbacks: list[Any] = extra + [instantiate(c) for c in config.callbacks.values() if c]
    callbacks.append(PreemptionCheckpoint(Path(config.folder) / "checkpoints" / LAST))
    for callback in callbacks:
        if getattr(callback, "monitor", None) == "val/loss" and not has_validation:
            callback.monitor = "train/loss"
    return instantiate(
        config.trainer,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO(), *(instantiate(p) for p in config.trainer.get("plugins") or ())],
        logger=[instantiate(c) for c in config.logger.values() if c],
        default_root_dir=config.folder,
        reload_dataloaders_every_n_epochs=datamodule.reload_every_n_epochs,
        use_distributed_sampler=False,  # the data module shares structures out itself
    )


def check_targets(loss: PotentialLoss, splits: Splits) -> None:
    """Raise an InputError where the loss needs a reference value that a structure does not have."""
    for target in ("energy", "forces", "stress"):
        if not loss.uses(target):
            continue
        for _, structures in splits:
            if source := contents(structures).first_without.get(target):
                raise InputError(
                    f"{source}: no {target}, but the loss gives it a weight (loss.{target}); "
                    f"set loss.{target}=0 to train without"
                )


def thinned(splits: Splits) -> Splits:
    """Splits with no more training structures than are held in memory for the report."""
    every = math.ceil(len(splits.train) / REPORTED_STRUCTURES)
    return Splits(splits.name, splits.train[::every], splits.val, splits.test)
