"""`sognet inspect`: what the data determine about the decay of a trained kernel."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from sognet.analysis.decay_uncertainty import FEWEST_STRUCTURES
from sognet.analysis.energy_balance import long_range_energy_share, long_range_variation
from sognet.analysis.kernel_curves import write_curves
from sognet.analysis.kernel_inspection import (
    as_numbers,
    cancellation,
    combined,
    determined_decays,
    inspected_splits,
    inspected_structures,
    law,
    sentence,
)
from sognet.analysis.long_range_share import channel_names
from sognet.analysis.model_report import typical_boxes
from sognet.analysis.predictions import check_species, predict
from sognet.analysis.run_data import load_splits, shared_splits, trained_configuration, with_charge_key
from sognet.analysis.tables import as_json
from sognet.data.splits import Splits
from sognet.errors import InputError
from sognet.evaluation.checkpoints import find_checkpoints, short_names
from sognet.long_range.decay import Boxes, fitted_decay, kernel_of
from sognet.model import SOGNet, load_model
from sognet.model.baseline_evaluation import evaluate_baseline
from sognet.model.checkpoint import as_device
from sognet.progress import tracked
from sognet.trust import trusted_names

WITHOUT_DATA = 6.0
"""Length of the box that curves are drawn for without data, over the cutoff."""


def inspect_checkpoints(config: DictConfig) -> None:
    """Print a sentence for each channel; write `inspection.json`, `kernel_r.csv`, `kernel_k.csv` and `kernel.png`.

    Several checkpoints are a committee: their mean exponent, with an interval that has their spread.

    Raises
    ------
    InputError : a checkpoint or the data cannot be used, or a model has no kernel of Gaussians.
    """
    for name in ("structures", "atoms"):
        if not (isinstance(config[name], int) and config[name] > 0):
            raise InputError(f"{name} must be a positive integer, got {config[name]!r}")
    checkpoints = find_checkpoints(config)
    device, trust = as_device(config.device), trusted_names(config.trust)
    models = [load_model(file, device, torch.float64, trust) for file in checkpoints]
    for model, file in zip(models, checkpoints, strict=True):
        if kernel_of(model.long_range) is None:
            what = "long range" if model.long_range is None else "kernel that is a sum of Gaussians"
            raise InputError(f"{file}: the model has no {what}")
    if len({kernel_of(m.long_range).n_channels for m in models}) > 1:
        raise InputError("sognet inspect: the kernels of these checkpoints differ in their number of channels")
    splits, missing = _data(config, models[0], checkpoints, trust)
    cutoff = models[0].cutoff
    boxes = typical_boxes(splits) if missing is None else Boxes(WITHOUT_DATA * cutoff, False)
    structures = inspected_structures(splits, config.structures, config.atoms)
    check_species(models[0], structures)
    for model in models:
        evaluate_baseline(model.baseline, Splits(splits.name, structures), OmegaConf.select(config, "paths.data"))
    members = [determined_decays(m, structures, boxes) for m in tracked(models, "inspecting")]
    decays = [combined(of_channel) for of_channel in zip(*members, strict=True)]
    balance = _balance(models[0], structures)
    folder = Path(config.folder).absolute()
    kernel = kernel_of(models[0].long_range).cpu()
    learned = [fitted_decay(kernel, cutoff, boxes.length, c, boxes.periodic) for c in range(kernel.n_channels)]
    write_curves(folder, kernel, cutoff, boxes, decays)
    found: dict[str, Any] = {
        "checkpoint": [str(file) for file in checkpoints],
        "data": splits.name,
        "cutoff": cutoff,
        "box": boxes.length,
        "kernel": [as_numbers(decay) for decay in decays],
        "as_learned": [fitted and vars(fitted) for fitted in learned],
        "energy": balance,
    }
    if len(models) > 1:
        names = short_names(checkpoints)
        found["members"] = {n: [as_numbers(d) for d in of] for n, of in zip(names, members, strict=True)}
    (folder / "inspection.json").write_text(as_json(found))
    if missing is not None:
        print(f"curves only, no uncertainty: {missing}")
    elif structures:
        print(_looked_at(splits, structures))
    several = len(models) > 1 and missing is None
    names = channel_names(models[0], kernel.n_channels)
    for channel, (decay, fitted) in enumerate(zip(decays, learned, strict=True)):
        name = f"kernel {names[channel]}" if len(decays) > 1 else "kernel"
        if missing is None:
            print(f"{name}: {sentence(decay, cutoff, models[0].charges is not None)}")
        if fitted is not None:
            text = f"r^{-fitted.exponent:.2f} from {fitted.r_min:.1f} to {fitted.r_max:.1f} Å"
            print(f"{name} as learned, evenly over ln r: {text}")
        for member, of_channels in zip(checkpoints, members, strict=True) if several else ():
            decay = of_channels[channel]
            print(f"  {member}: {law(decay) if decay.exponent is not None else decay.status}")
    if text := cancellation(balance):
        print(text)
    print(f"everything is in {folder}")


def _data(
    config: DictConfig, model: SOGNet, checkpoints: Sequence[Path], trust: Sequence[str]
) -> tuple[Splits, str | None]:
    """Structures that are named or those of the run, or why there are none."""
    if config.get("dataset"):
        given = HydraConfig.get().overrides.task if HydraConfig.initialized() else ()
        dataset = with_charge_key(config.dataset, model.charge_key, given)
        if "energy_key" in dataset:
            dataset = OmegaConf.merge(dataset, {"energy_key": None})  # forces alone are looked at
        return load_splits(dataset, checkpoints[0], trust), None
    try:
        settings = [trained_configuration(file).get("dataset") for file in checkpoints]
        return shared_splits(settings, checkpoints, trust), None
    except InputError as error:
        return Splits("none"), str(error)


def _looked_at(splits: Splits, structures: Sequence) -> str:
    """Which structures say what is determined, with a word where the model was trained on some."""
    known = inspected_splits(splits)
    text = f"{len(structures)} of {sum(len(s) for _, s in known)} structures with forces of {' and '.join(dict(known))}"
    return f"{text}: fewer than {FEWEST_STRUCTURES} are held out" if "train" in dict(known) else text


def _balance(model: SOGNet, structures: Sequence) -> dict[str, float]:
    if not structures:
        return {}
    predictions = list(predict(model, structures))
    return {"energy_share": long_range_energy_share(predictions)} | long_range_variation(predictions)
