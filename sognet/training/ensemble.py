"""`sognet train ensemble=4`: the members of a committee, trained one after the other, and the report on them together.

Each member is a run of its own in `member_<number>` of the run folder, with its own seed and, where the data set draws
its validation structures at random, its own draw of them; the test structures are the same for all.
"""

import copy
import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ase.data import atomic_numbers
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from sognet.analysis.committee_report import print_committee, report_committee
from sognet.analysis.findings import print_findings
from sognet.analysis.model_report import write_summary
from sognet.analysis.predictions import predict_splits
from sognet.analysis.run_data import shared_splits, trained_configuration
from sognet.data import statistics
from sognet.data.datasets.named import read_splits
from sognet.data.splits import fill_defaults
from sognet.errors import InputError
from sognet.model import load_committee
from sognet.model.baseline_evaluation import evaluate_baseline
from sognet.model.build import takes
from sognet.renamed_settings import up_to_date
from sognet.targets import add_targets
from sognet.training.build import reported_splits
from sognet.training.callbacks.preemption import requeued
from sognet.training.checkpoint_io import BEST, LAST
from sognet.training.distributed.processes import global_rank
from sognet.training.own_modules import check_saved_targets, with_own_targets
from sognet.training.resume import overridden, resumed_configuration, save_configuration
from sognet.training.run import start, train
from sognet.training.run_folder import command_line
from sognet.trust import resolve, trusted_names

logger = logging.getLogger(__name__)


def n_members(config: DictConfig) -> int:
    """Members of the run that a configuration describes, or that it resumes; more where `ensemble` asks for more."""
    saved = Path(config.resume or "") / "config.yaml"
    if config.resume and saved.is_file():
        return max(config.ensemble, OmegaConf.load(saved).get("ensemble", 1))
    return config.ensemble


def run_ensemble(config: DictConfig) -> float | None:
    """Train the members that are not finished and report on the committee; returns what sweeps minimise, on rank 0:
    the mean over members of the force RMSE (meV/Å) on their validation structures.

    The run folder gets the members' folders and what sognet.analysis.committee_report writes.

    Raises
    ------
    InputError : the folder already holds a run, or `resume` names no ensemble.
    """
    overrides: Sequence[str] = ()
    folder = Path(config.folder).absolute()
    if requeued() and (folder / "config.yaml").is_file():
        config.resume = str(folder)
        config = resumed_ensemble(config, overrides)
    elif config.resume:
        overrides = [o for o in HydraConfig.get().overrides.task if o.partition("=")[0] not in ("resume", "ensemble")]
        config = resumed_ensemble(config, overrides)
    else:
        config = new_ensemble(with_own_targets(config, HydraConfig.get().overrides.task))
    folder = Path(config.folder)
    if global_rank() == 0:
        folder.mkdir(parents=True, exist_ok=True)
        save_configuration(config, folder / "config.yaml")
    for number in range(config.ensemble):
        train_member(member_configuration(config, number), overrides)
    return None if global_rank() else report_members(config)


def new_ensemble(config: DictConfig) -> DictConfig:
    """Configuration of an ensemble, in which all members know the elements of all structures.

    A member's training structures may lack one that those of the others have.
    """
    config = copy.deepcopy(config)
    config.folder = str(Path(config.folder).absolute())
    with open_dict(config):
        config.command = command_line()  # for tables of runs
    if global_rank() == 0 and (Path(config.folder) / "config.yaml").is_file():
        raise InputError(f"{config.folder} already holds a run; choose another hydra.run.dir")
    target = resolve(config.model.short_range._target_, trusted_names(config.trust))
    if config.model.short_range.get("species") is None and takes(target, "species"):
        fill_defaults(config.dataset)
        add_targets(config.loss.get("targets") or ())
        splits = read_splits(config.dataset, trusted_names(config.trust))
        known = {s for part in (splits.train, splits.val) if part for s in statistics(part).species}
        with open_dict(config.model.short_range):
            config.model.short_range.species = sorted(known, key=atomic_numbers.get)
    return config


def resumed_ensemble(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Configuration of the ensemble in a folder, with the values that the command line gives.

    Raises
    ------
    InputError : there is none, or a value that it does not have.
    """
    folder = Path(config.resume).absolute()
    saved = folder / "config.yaml"
    if not saved.is_file() or OmegaConf.load(saved).get("ensemble", 1) < 2:
        raise InputError(f"resume={folder}: no ensemble to continue")
    resumed = overridden(up_to_date(OmegaConf.load(saved)), overrides, folder)
    resumed.ensemble = n_members(config)
    resumed.folder = str(folder)
    resumed.trust = trusted_names(config.trust)
    check_saved_targets(resumed, resumed.trust)
    return resumed


def member_configuration(config: DictConfig, number: int) -> DictConfig:
    """Configuration of a member's run: another seed, and another draw of the validation structures where there is one
    to draw.
    """
    member = copy.deepcopy(config)
    member.ensemble = 1
    member.folder = str(Path(config.folder) / f"member_{number}")
    member.seed = config.seed + number
    if member.logger.get("wandb"):
        member.logger.wandb.group = Path(config.folder).name
        member.logger.wandb.name = f"member_{number}"
    dataset = member.dataset
    if "val_seed" in dataset and dataset.val_fraction != 0 and not dataset.get("val_path"):
        first = dataset.seed if dataset.val_seed is None else dataset.val_seed
        dataset.val_seed = first + number
    return member


def train_member(config: DictConfig, overrides: Sequence[str]) -> None:
    """Train a member: not at all where it is finished, on from its last checkpoint where it has one, else anew.

    Parameters
    ----------
    config : of the member.
    overrides : values that the command line gives to members that are resumed.
    """
    folder = Path(config.folder)
    if (folder / "summary.json").is_file():
        logger.info("%s is finished", folder.name)
        return
    logger.info("training %s", folder.name)
    if (folder / "checkpoints" / LAST).is_file():
        train(resumed_configuration(folder, overrides, trusted_names(config.trust)))
    else:
        if global_rank() == 0 and folder.is_dir():
            shutil.rmtree(folder)  # of a member that was interrupted before its first checkpoint
        with open_dict(config):
            config.pop("command", None)  # which the member writes itself
        start(config)


def report_members(config: DictConfig) -> float:
    """Evaluate the committee, write its report and print it; returns the mean validation error of the members."""
    folder = Path(config.folder)
    names = [f"member_{number}" for number in range(config.ensemble)]
    checkpoints = [next(f for n in (BEST, LAST) if (f := folder / m / "checkpoints" / n).is_file()) for m in names]
    on_cpu = config.trainer.accelerator == "cpu" or not torch.cuda.is_available()
    trust = trusted_names(config.trust)
    models = load_committee(checkpoints, "cpu" if on_cpu else "cuda", trust=trust)
    add_targets(config.loss.get("targets") or ())
    splits = shared_splits([trained_configuration(file).get("dataset") for file in checkpoints], checkpoints, trust)
    for model in models:
        evaluate_baseline(model.baseline, splits, config.paths.data)
    splits = reported_splits(config, splits)
    predictions = {
        name: predict_splits(model, splits, config.batch.eval_batch_size, config.loss.stress > 0)
        for name, model in zip(names, models, strict=True)
    }
    runs: list[dict[str, Any]] = [json.loads((folder / name / "summary.json").read_text()) for name in names]
    summary = report_committee(predictions, folder)
    summary |= {"seconds": round(sum(r["seconds"] for r in runs), 1), "checkpoint": [str(file) for file in checkpoints]}
    write_summary(summary, folder / "summary.json")
    print_committee(summary, splits.name)
    print(f"everything is in {folder}")
    print_findings(summary)
    selected = [r.get("val", r["train"]) for r in runs]
    return sum(s.get("force_rmse", s.get("energy_rmse")) for s in selected) / len(selected)
