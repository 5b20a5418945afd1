"""One training run: data, model, fit, report."""

import logging
import shutil
import time
from dataclasses import asdict
from pathlib import Path

import lightning
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf

from sognet.analysis.findings import print_findings
from sognet.analysis.learning_curve import outlook
from sognet.analysis.model_report import print_summary, report, typical_boxes, write_summary
from sognet.data.datasets.named import read_splits
from sognet.data.inspection.first_look import what_stands_out
from sognet.data.split_identity import identities
from sognet.data.splits import fill_defaults
from sognet.errors import InputError, MissingFileError
from sognet.model import load_model
from sognet.model.checkpoint import read_checkpoint
from sognet.progress import duration
from sognet.targets import add_targets
from sognet.training.absolute_paths import make_absolute
from sognet.training.best_checkpoint import name_the_best
from sognet.training.budget import set_limits
from sognet.training.build import (
    build_datamodule,
    build_module,
    build_trainer,
    check_targets,
    choices,
    hint_at_total_charge,
    reported_splits,
    set_scales,
    starting_model,
    validates,
)
from sognet.training.callbacks.accepted_data import KeepAcceptedData
from sognet.training.callbacks.long_range_diagnostics import LongRangeDiagnostics
from sognet.training.callbacks.preemption import requeued
from sognet.training.callbacks.progress import why_ended
from sognet.training.checkpoint_io import BEST, LAST
from sognet.training.configuration_checks import check, check_one_batch
from sognet.training.distributed.processes import distributed, global_rank
from sognet.training.loggers.media import log_configuration, log_media, pixels
from sognet.training.loggers.metrics_file import forget_metrics_after
from sognet.training.loggers.wandb_run import WandbRun
from sognet.training.loss import PotentialLoss
from sognet.training.monitored import check_monitors
from sognet.training.own_modules import with_own_targets
from sognet.training.resume import of_the_command, resumed_configuration, same_data, save_configuration, spent
from sognet.training.run_folder import claimed, command_line, finished_error, is_started_member, unclaimed_where_refused
from sognet.trust import search_working_directory, trusted_names

logger = logging.getLogger(__name__)

LONGEST_NAME = 128
"""Characters that wandb allows for the name of a run."""


def start(config: DictConfig) -> float | None:
    """`sognet train`: save the configuration in the run folder and train; returns what sweeps minimise.

    Raises
    ------
    InputError : the folder already holds a run, or `resume` names none.
    """
    if config.resume:
        folder, overrides = Path(config.resume).absolute(), HydraConfig.get().overrides.task
        return train(resumed_configuration(folder, overrides, trusted_names(config.trust)))
    overrides = HydraConfig.get().overrides.task if HydraConfig.initialized() else ()
    check(config, overrides)
    config = with_own_targets(config, overrides)
    if config.start_from:
        config.start_from = str(Path(config.start_from).absolute())
    folder = Path(config.folder).absolute()
    if requeued() and (folder / "checkpoints" / LAST).is_file():
        return train(resumed_configuration(folder, [], trusted_names(config.trust)))
    if is_started_member(folder):
        if (error := finished_error(folder)) is not None:
            logger.info("%s is finished", folder.name)
            return error
        if (folder / "checkpoints" / LAST).is_file():
            return train(resumed_configuration(folder, [], trusted_names(config.trust)))
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # interrupted before the first one
    if global_rank() == 0:
        folder = claimed(folder)
    config.folder = str(folder)
    config = OmegaConf.create(OmegaConf.to_container(config, resolve=True))
    make_absolute(config.dataset)
    if config.batch.stages:
        config.trainer.max_epochs = sum(stage.epochs for stage in config.batch.stages)
    set_limits(config)
    fill_defaults(config.dataset)
    config.command = command_line()
    wandb_run = config.logger.get("wandb")
    if HydraConfig.get().mode == RunMode.MULTIRUN and wandb_run and not wandb_run.group:
        config.logger.wandb.group = folder.parent.name
        differs = HydraConfig.get().job.override_dirname
        config.logger.wandb.name = differs if 0 < len(differs) <= LONGEST_NAME else folder.name[:LONGEST_NAME]
    if global_rank() == 0:
        save_configuration(config, folder / "config.yaml")
    with unclaimed_where_refused(folder):
        return train(config)


def train(config: DictConfig) -> float | None:
    """Train, from the last checkpoint where the run folder has one, and report on the best; with `train=false`, report.

    Returns the force RMSE (meV/Å) of the validation split, on rank 0.

    The run folder gets `checkpoints/`, `metrics.csv`, `summary.json`, `predictions.extxyz` and `figures/`.

    Parameters
    ----------
    config : the composed configuration without interpolations.
    """
    started = time.perf_counter()
    folder = Path(config.folder)
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    trust = trusted_names(config.get("trust"))
    if trust:
        search_working_directory()
    add_targets(config.loss.get("targets") or ())
    try:
        read = splits = read_splits(config.dataset, trust)
    except MissingFileError as error:
        if not (folder / "checkpoints" / LAST).is_file():
            raise
        raise InputError(
            f"{error}; the run in {folder} was started with it. Put it back, or say where it is now, dataset.path=..."
        ) from None
    last = folder / "checkpoints" / LAST
    last = last if last.is_file() else None  # of the run that this one continues
    if last:
        splits = same_data(config, splits, read_checkpoint(last).get("split_identities", {}))
    if config.train and not last and splits.statistics is None and global_rank() == 0:
        for sentence in what_stands_out(splits):
            logger.warning("%s", sentence)
    known = identities(splits, read)  # before structures that the model cannot take are left out
    loss: PotentialLoss = instantiate(config.loss)
    check_targets(loss, splits)
    check_one_batch(config, len(splits.train))
    model = starting_model(config, splits, last)
    set_scales(loss, splits.train, model.baseline)
    datamodule = build_datamodule(config, splits, model.cutoff)
    module = build_module(config, model, loss)
    module.split_identities = known
    logger.info("%d training, %d validation, %d test structures", *map(len, (splits.train, splits.val, splits.test)))
    logger.info("%s", choices(model, datamodule))
    reported = reported_splits(config, splits)
    if global_rank() == 0:
        hint_at_total_charge(model, reported)
    with distributed(config.trainer, folder / "config.yaml", of_the_command(config)):
        extra = [LongRangeDiagnostics(typical_boxes(reported))] if model.long_range is not None else []
        if last and config.get("data_changed") == "accept":
            extra.append(KeepAcceptedData(last, known))
        trainer = build_trainer(config, splits, datamodule, extra)
        if config.train:
            check_monitors(trainer.callbacks, module, splits, validates(config, splits))
        if config.train and last and trainer.is_global_zero:
            steps_before = read_checkpoint(last).get("global_step", 0)
            forget_metrics_after(folder / "metrics.csv", steps_before)
        if trainer.is_global_zero:
            for run_logger in trainer.loggers:
                log_configuration(run_logger, config)
        if config.train:
            try:
                trainer.fit(module, datamodule, ckpt_path=last, weights_only=True)
            except MisconfigurationException as error:
                raise InputError(f"trainer: {error}") from error
        if not trainer.is_global_zero:
            return None
    if config.train and last and trainer.global_step == steps_before:
        logger.warning(
            "nothing was trained: %s; give it more: sognet train resume=%s epochs=...", spent(config), folder
        )
    seconds = module.earlier_seconds + time.perf_counter() - started
    if config.train:
        name_the_best(trainer.checkpoint_callbacks, folder / "checkpoints")
    checkpoints = [folder / "checkpoints" / name for name in (BEST, LAST)]
    best = next((file for file in checkpoints if file.is_file()), None)
    if best is None and config.train:
        raise InputError("training ended before the first checkpoint; raise trainer.max_epochs or trainer.max_time")
    if config.train and best.name != BEST:
        logger.warning("no checkpoint is the best (no validation was reached, or none is kept): reporting on the last")
    trained = load_model(best, device=module.device, trust=trust) if best else model.eval()
    summary = report(trained, reported, folder, config.batch.eval_batch_size, stress=loss.uses("stress"))
    summary |= {"seconds": round(seconds, 1), "epochs": trainer.current_epoch}
    if learning := outlook(folder / "metrics.csv"):
        summary["learning"] = asdict(learning)
    write_summary(summary, folder / "summary.json")
    final = {f"final/{s}/{k}": v for s in ("train", "val", "test", "all") for k, v in summary.get(s, {}).items()}
    images = {f"figures/{name}": pixels(path) for name, path in summary["figures"].items()}
    for run_logger in trainer.loggers:
        run_logger.log_metrics(final, step=trainer.global_step)
        log_media(run_logger, {}, images, trainer.global_step)
        run_logger.finalize("success")
    print_summary(summary, f"{splits.name}: {summary['epochs']} epochs in {duration(seconds)}{why_ended(trainer)}")
    print(f"everything is in {folder}")
    for run_logger in trainer.loggers:
        if isinstance(run_logger, WandbRun) and best:
            run_logger.close(best, summary["val" if splits.val else "train"])
    print_findings(summary)
    selected = summary["val" if splits.val else "train"]
    return selected.get("force_rmse", selected.get("energy_rmse"))
