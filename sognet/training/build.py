"""The parts of a training run, from its configuration: starting model, module, data module, trainer."""

import logging
import math
from pathlib import Path
from typing import Any

import lightning
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from sognet.data import Splits, Stage, StructureDataModule, cached_statistics
from sognet.data.split_contents import contents
from sognet.errors import InputError
from sognet.model import SOGNet, load_model, regularization
from sognet.model.build import build_model
from sognet.model.description import check_rebuilds
from sognet.training.callbacks.preemption import PreemptionCheckpoint
from sognet.training.checkpoint_io import LAST, AtomicCheckpointIO
from sognet.training.fine_tuning import freeze, model_to_fine_tune
from sognet.training.initial_values import initialize
from sognet.training.loss import WEIGHTS, PotentialLoss
from sognet.training.module import PotentialModule
from sognet.trust import trusted_names

logger = logging.getLogger(__name__)

REPORTED_STRUCTURES = 10_000
"""Structures of a streamed training split that the report at the end is about, evenly spaced."""


def starting_model(config: DictConfig, splits: Splits, last: Path | None) -> SOGNet:
    """Model that training starts from: of the model group, or fine-tuned; `last`: checkpoint of a resumed run.

    Raises
    ------
    InputError : a checkpoint or a pattern of `freeze` that cannot be used, or a model that could not be loaded again.
    """
    trust = trusted_names(config.get("trust"))
    if config.start_from:
        energies = config.model.reference_energies
        if last:
            model = load_model(last, trust=trust)
        else:
            model = model_to_fine_tune(config.start_from, splits.train, energies, trust)
    else:
        counts_neighbors = config.model.short_range.get("n_neighbors", 0.0) is None
        cutoff = config.model.short_range.cutoff if counts_neighbors else None
        found = splits.statistics or cached_statistics(splits.train, cutoff, config.paths.data)
        model = build_model(config.model, found, () if last else splits.train, trust)
        if not last:
            initialize(model, splits.train, config.model.get("initial_charges"))
    check_rebuilds(model, trust)
    model.charge_key = config.dataset.get("charge_key") or model.charge_key
    freeze(model, config.freeze)
    return model


def build_module(config: DictConfig, model: SOGNet, loss: PotentialLoss) -> PotentialModule:
    """Training of a model with the optimizer and the schedule of the configuration.

    Raises
    ------
    InputError : the loss weighs a term that the long-range layer does not add.
    """
    check_regularization(loss, model)
    if str(config.trainer.precision).startswith("64"):
        model.double()  # Lightning does it after it has loaded a checkpoint, which would round the weights
    scheduler, interval = None, "epoch"
    if config.scheduler:
        interval = config.scheduler.get("interval", "epoch")
        scheduler = instantiate(
            OmegaConf.masked_copy(config.scheduler, [k for k in config.scheduler if k != "interval"])
        )
    optimizer = instantiate(config.optimizer)
    return instantiate(config.module)(model, loss, optimizer, scheduler, scheduler_interval=interval)


def build_datamodule(config: DictConfig, splits: Splits, cutoff: float) -> StructureDataModule:
    """Batches of the splits for a model of this cutoff (Å)."""
    stages = [Stage(**stage) for stage in config.batch.stages]
    return instantiate(config.batch)(splits, cutoff, seed=config.seed, stages=stages)


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


def check_regularization(loss: PotentialLoss, model: SOGNet) -> None:
    """Raise an InputError where the loss weighs a term that the model's long-range layer does not add, or two terms
    have one name.
    """
    added = regularization(model)
    if unknown := sorted(set(loss.regularization) - set(added)):
        raise InputError(
            f"loss.regularization.{unknown[0]}: the long-range layer adds {', '.join(added) or 'no term'} to the loss"
        )
    if taken := sorted(set(added) & {*WEIGHTS, "loss"} - {"kernel"}):
        raise InputError(
            f"{type(model.long_range).__name__}.regularization(): {taken[0]} is a term of the loss already"
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


def hint_at_total_charge(model: SOGNet, splits: Splits) -> None:
    """Tell a user whose structures have different total charges that the model does not see them."""
    charges = sorted({structure.charge for _, structures in splits for structure in structures})
    if len(charges) > 1 and not model.total_charge:
        logger.warning(
            "the total charges of the structures vary, from %g to %g e, and the model does not see them: "
            "model.total_charge=true adds them to its features",
            charges[0],
            charges[-1],
        )


def reported_splits(config: DictConfig, splits: Splits) -> Splits:
    """Structures that the report is about: no more of a streamed training split than are held in memory, and those of
    the test split only with `test=true`.
    """
    every = math.ceil(len(splits.train) / REPORTED_STRUCTURES) if splits.statistics else 1
    return Splits(splits.name, splits.train[::every], splits.val, splits.test if config.test else [])
