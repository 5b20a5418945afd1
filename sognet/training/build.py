"""The parts of a training run, from its configuration: starting model, module, data module, trainer."""

import inspect
import logging
import math
from collections.abc import Collection, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, get_type_hints

import lightning
import numpy as np
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from sognet.data import Splits, Stage, Structure, StructureDataModule, cached_statistics
from sognet.data.baseline_labels import Residuals
from sognet.data.label_spread import label_spreads
from sognet.data.slabs import leave_out_slabs
from sognet.data.split_contents import contents
from sognet.data.streaming.sharded import ShardedStructures
from sognet.data.structure import unknown_elements
from sognet.errors import InputError
from sognet.model import SOGNet, load_model, regularization
from sognet.model.build import build_baseline, build_model
from sognet.model.description import check_rebuilds
from sognet.targets import TARGETS
from sognet.training.baseline import with_baseline
from sognet.training.best_checkpoint import name_without_folders
from sognet.training.budget import AUTOMATIC, seconds_of
from sognet.training.callbacks.best import NameTheBest
from sognet.training.callbacks.budget import TrainingBudget
from sognet.training.callbacks.preemption import PreemptionCheckpoint
from sognet.training.checkpoint_io import LAST, AtomicCheckpointIO
from sognet.training.fine_tuning import freeze, model_to_fine_tune
from sognet.training.initial_values import initialize
from sognet.training.learning_rates import LENGTHS
from sognet.training.loss import WEIGHTS, PotentialLoss
from sognet.training.module import PotentialModule
from sognet.trust import resolve, trusted_names

logger = logging.getLogger(__name__)

REPORTED_STRUCTURES = 10_000
"""Structures of a streamed training split that the report at the end is about, evenly spaced."""


def starting_model(config: DictConfig, splits: Splits, last: Path | None) -> SOGNet:
    """Model that training starts from: of the model group, or fine-tuned; `last`: checkpoint of a resumed run.

    With a baseline, the structures get what it gives, and the model starts from what it leaves of their energies and
    forces.

    Raises
    ------
    InputError : a checkpoint or a pattern of `freeze` that cannot be used, or a model that could not be loaded again.
    """
    trust = trusted_names(config.get("trust"))
    if not takes_slabs(config, trust):
        sources = (config.dataset.get("sources") or {}).values()
        skip = config.dataset.get("skip_invalid") or any(s.get("skip_invalid") for s in sources)
        leave_out_slabs(splits, bool(skip))
    if last:  # with the scales and reference energies that it was built with
        model = load_model(last, trust=trust).train()
        with_baseline(config, model.baseline, splits)
    elif config.start_from:
        with_baseline(config, load_model(config.start_from, trust=trust).baseline, splits)
        model = model_to_fine_tune(config.start_from, splits.train, config.model.reference_energies, trust)
    else:
        baseline = build_baseline(config.model, trust)
        structures = with_baseline(config, baseline, splits)
        counts_neighbors = config.model.short_range.get("n_neighbors", 0.0) is None
        cutoff = config.model.short_range.cutoff if counts_neighbors else None
        known = splits.statistics if baseline is None else None  # of the labels as they are
        found = known or cached_statistics(structures, cutoff, config.paths.data)
        model = build_model(config.model, found, structures, trust)
        fitted = config.model.reference_energies is None
        initialize(model, structures, config.model.get("initial_charges"), fitted)
        if baseline is not None:
            model.set_baseline(baseline)
    check_elements(splits, model.short_range.species)
    check_rebuilds(model, trust)
    model.charge_key = config.dataset.get("charge_key") or model.charge_key
    freeze(model, config.freeze)
    return model


def takes_slabs(config: DictConfig, trust: list[str]) -> bool:
    """Whether the model of a configuration takes structures that are periodic along some directions only."""
    if config.start_from:
        layer = load_model(config.start_from, trust=trust).long_range
    else:
        target = config.model.long_range["_target_"]
        layer = resolve(target, trust, "model.long_range._target_") if target else None
    if inspect.isfunction(layer):
        layer = get_type_hints(layer).get("return")
    return getattr(layer, "takes_slabs", True)


def check_elements(splits: Splits, species: Collection[str]) -> None:
    """Raise an InputError, by file and frame, where a split has an element that the model does not know."""
    for split, structures in splits:
        if split == "train" and isinstance(structures, ShardedStructures):
            continue  # its statistics hold its elements
        for structure in structures:
            if unknown := unknown_elements(structure, species):
                raise InputError(
                    f"{structure.source}: {', '.join(unknown)} in the {split} split, which no training structure has "
                    f"(the model knows {', '.join(species)}); add structures with it to the training split, draw "
                    "another one (dataset.seed), or take the frame out"
                )


def build_module(config: DictConfig, model: SOGNet, loss: PotentialLoss) -> PotentialModule:
    """Training of a model with the optimizer and the schedule of the configuration.

    Raises
    ------
    InputError : the loss weighs a term that the long-range layer does not add.
    """
    check_regularization(loss, model)
    if str(config.trainer.precision).startswith("64"):
        model.double()  # Lightning does it after it has loaded a checkpoint, which would round the weights
    scheduler = interval = None
    if config.scheduler:
        interval = config.scheduler.get("interval")
        scheduler = instantiate(
            OmegaConf.masked_copy(config.scheduler, [k for k in config.scheduler if k != "interval"]), _convert_="all"
        )
    optimizer = instantiate(config.optimizer, _convert_="all")  # checkpoints hold plain lists only
    return instantiate(config.module)(model, loss, optimizer, scheduler, scheduler_interval=interval)


def build_datamodule(config: DictConfig, splits: Splits, cutoff: float) -> StructureDataModule:
    """Batches of the splits for a model of this cutoff (Å)."""
    stages = [Stage(**stage) for stage in config.batch.stages]
    return instantiate(config.batch)(splits, cutoff, seed=config.seed, stages=stages)


def choices(model: SOGNet, datamodule: StructureDataModule) -> str:
    """What was chosen, or follows from the data, in a line."""
    size, n_atoms = datamodule.stage_batch_size(0), float(np.mean(contents(datamodule.splits.train).n_atoms))
    parts = [f"cutoff {model.cutoff:g} Å"]
    if model.long_range is not None:
        parts.append(f"{model.n_latent} latent variable{'s' if model.n_latent > 1 else ''} per atom")
    parts.append(str(model.dtype).removeprefix("torch."))
    if size is not None:
        parts.append(f"batches of {size} structure{'s' if size > 1 else ''} of {n_atoms:.0f} atoms on average")
    return ", ".join(parts)


def validates(config: DictConfig, splits: Splits) -> bool:
    """Whether the training has a validation."""
    return bool(splits.val) and config.trainer.get("limit_val_batches") != 0


def build_trainer(
    config: DictConfig, splits: Splits, datamodule: StructureDataModule, extra: list[lightning.Callback]
) -> lightning.Trainer:
    """Trainer with the callbacks and loggers of the configuration, and extra callbacks."""
    callbacks: list[Any] = extra + [instantiate(_given(c)) for c in config.callbacks.values() if c]
    checkpoints = Path(config.folder) / "checkpoints"
    callbacks += [NameTheBest(checkpoints), PreemptionCheckpoint(checkpoints / LAST)]
    for callback in callbacks:
        if getattr(callback, "monitor", None) == "val/loss" and not validates(config, splits):
            callback.monitor = "train/loss"
        name_without_folders(callback)
    limits, budget = trainer_limits(config)
    return instantiate(
        _given(
            OmegaConf.masked_copy(
                config.trainer, [name for name in config.trainer if name not in ("max_time", "max_steps")]
            )
        ),
        **limits,
        **_validations(config.trainer),
        callbacks=[*budget, *callbacks],
        plugins=[AtomicCheckpointIO(), *(instantiate(p) for p in config.trainer.get("plugins") or ())],
        logger=[instantiate(c) for c in config.logger.values() if c],
        default_root_dir=config.folder,
        reload_dataloaders_every_n_epochs=datamodule.reload_every_n_epochs,
        use_distributed_sampler=False,  # the data module shares structures out itself
    )


def _validations(trainer: DictConfig) -> dict[str, None]:
    """A number of batches between validations counts through the epochs, which may have fewer."""
    interval, every = trainer.get("val_check_interval"), trainer.get("check_val_every_n_epoch")
    counts = isinstance(interval, int) and every in (None, 1)
    return {"check_val_every_n_epoch": None} if counts else {}


def _given(node: DictConfig) -> DictConfig:
    """A node without settings that are null, for which Lightning has defaults of its own."""
    given = node.copy()
    OmegaConf.set_struct(given, False)
    for name in [name for name in node if node[name] is None]:
        del given[name]
    return given


def trainer_limits(config: DictConfig) -> tuple[dict[str, Any], list[lightning.Callback]]:
    """What ends a training: settings of Lightning's trainer, and a callback for what it does not have.

    A time is turned into steps where it is given as `time`, or where a schedule spans the training. With
    `max_epochs=auto` the number of epochs follows from the data.
    """
    limit = config.trainer.get("max_time")
    seconds = None if limit is None else seconds_of(limit, "trainer.max_time")
    scheduler = config.scheduler or {}
    spans = any(name in scheduler and scheduler[name] is None for name in LENGTHS)
    in_steps = seconds is not None and (config.get("time") is not None or spans)
    steps = config.trainer.get("max_steps")
    steps = steps if steps is not None and steps >= 0 else None
    automatic = config.trainer.get("max_epochs") == AUTOMATIC
    follows = in_steps or automatic or steps is not None or config.get("epochs") is not None
    limits: dict[str, Any] = {} if steps is None else {"max_steps": -1}
    if seconds is not None and not in_steps:
        limits["max_time"] = timedelta(seconds=seconds)
    if automatic or config.trainer.get("max_epochs") is None:
        limits["max_epochs"] = -1
    return limits, [TrainingBudget(seconds if in_steps else None, steps, automatic)] if follows else []


def check_regularization(loss: PotentialLoss, model: SOGNet) -> None:
    """Raise an InputError where the loss weighs a term that the model's long-range layer does not add, or two terms
    have one name.
    """
    added = regularization(model)
    if unknown := sorted(set(loss.regularization) - set(added)):
        raise InputError(
            f"loss.regularization.{unknown[0]}: the long-range layer adds {', '.join(added) or 'no term'} to the loss"
        )
    if taken := sorted(set(added) & {*WEIGHTS, *TARGETS, "loss"} - {"kernel"}):
        raise InputError(
            f"{type(model.long_range).__name__}.regularization(): {taken[0]} is a term of the loss already"
        )


def check_targets(loss: PotentialLoss, splits: Splits) -> None:
    """Tell the loss which part of the training structures has each target, and the user where some lack one.

    Raises
    ------
    InputError : nothing has weight, no training structure has what the loss gives a weight, or the validation split
        has nothing that it gives a weight.
    """
    ends = np.cumsum([0, *(stage["epochs"] for stage in loss.stages)]).tolist()
    if any(loss.at(epoch).is_zero for epoch in ends):
        raise InputError(
            f"loss: all weights are zero, so that there is nothing to learn; set one of "
            f"{', '.join(f'loss.{name}' for name in TARGETS)}"
        )
    train = contents(splits.train)
    used = [name for name in TARGETS if loss.uses(name)]
    for name in used:
        if train.count(name) == 0:
            periodic = " that is periodic and has a volume" if TARGETS[name].periodic else ""
            where, setting = train.first_without.get(name, splits.name), f"loss.{name}"
            remedy = f"set {setting}=0 to train without"
            if name not in WEIGHTS:
                setting, keys = f"loss.targets.{name}", " or ".join(TARGETS[name].keys)
                remedy = f"files name it {keys} (sognet.targets); leave it out of loss.targets to train without"
            raise InputError(
                f"{where}: no {name}, but the loss gives it a weight ({setting}), and no training structure{periodic} "
                f"has one; {remedy}"
            )
    loss.labelled = {name: _share(splits, name) for name in used}
    val = contents(splits.val) if splits.val else None
    if val is not None and used and not any(loss.weight(name) > 0 and val.count(name) for name in used):
        raise InputError(
            f"{splits.name}: no structure of the validation split has {' or '.join(used)}, so that no checkpoint is "
            "the best; validate on others (dataset.val_path), or on none (dataset.val_fraction=0)"
        )
    known = {split: contents(structures) for split, structures in splits}
    if any(0 < c.count(name) < len(c.n_atoms) for c in known.values() for name in TARGETS) or any(
        known[split].count(name) == 0 for split in known for name in used
    ):
        for split, found in known.items():
            logger.info("%s: %s", split, found)
    for split, structures in splits if loss.uses("stress") and not hasattr(splits.train, "contents") else ():
        if n := sum(s.stress is not None and not s.has_stress for s in structures):
            logger.warning("%s: the stress of %d structures is not used: no periodic direction, or no volume", split, n)


def set_scales(loss: PotentialLoss, structures: Sequence[Structure], baseline: SOGNet | None = None) -> None:
    """Tell the loss the spread of the labels of training structures, or of what a baseline leaves of them, where it
    needs it.
    """
    if not loss.needs_scales:
        return
    if baseline is not None:
        structures = Residuals(structures, baseline.identity)
    loss.scales.update(label_spreads(structures))
    units = {"energy": "eV/atom", "forces": "eV/Å", "stress": "eV/Å³"}
    used = [name for name in TARGETS if loss.uses(name)]
    named = ", ".join(f"{name} {loss.scales[name]:.4g} {units.get(name, '')}".strip() for name in used)
    unit = "; the loss counts errors in units of it" if loss.dimensionless else ""
    linear = "" if loss.huber_delta is None else f"; errors beyond {loss.huber_delta:g} of it count linearly"
    logger.info("spread of the training labels: %s%s%s", named, unit, linear)


def _share(splits: Splits, target: str) -> float:
    """Part of what an epoch of training sees that has a target."""
    if splits.weights is None:
        return contents(splits.train).share(target)
    return float(np.average([TARGETS[target].reference(s) is not None for s in splits.train], weights=splits.weights))


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
