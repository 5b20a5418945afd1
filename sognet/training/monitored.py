"""Errors that callbacks compare runs by, `monitor`, checked before training against those that will be logged."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from lightning.pytorch.callbacks import Callback

from sognet.analysis.error_groups import CONFIGURATION_TYPE
from sognet.data import Splits, Structure
from sognet.data.split_contents import contents
from sognet.errors import InputError
from sognet.model import SOGNet, diagnostics
from sognet.targets import ERROR_KINDS, TARGETS
from sognet.training.callbacks.long_range_diagnostics import LongRangeDiagnostics
from sognet.training.callbacks.validation import ErrorsByGroup
from sognet.training.loss import PotentialLoss
from sognet.training.module import PotentialModule

KNOWN_PACKAGES = ("sognet", "lightning")
"""Packages whose callbacks log nothing under names that are not known here."""

ANY_TIME = ("val F", "seconds", "lr", "data_wait", "gradient_norm/mean", "gradient_norm/max")


def check_monitors(callbacks: Iterable[Callback], module: PotentialModule, splits: Splits, validates: bool) -> None:
    """Check what callbacks compare runs by; nothing is checked where callbacks of other packages may log more.

    Parameters
    ----------
    callbacks : of the trainer.
    module : that is trained.
    splits : of the data set.
    validates : whether there is a validation.

    Raises
    ------
    InputError : a callback monitors what will not be logged.
    """
    callbacks = list(callbacks)
    asked = {name: c for c in callbacks if isinstance(name := getattr(c, "monitor", None), str)}
    common = list(common_errors(module.loss, splits, validates))
    if not set(asked) - set(common) or any(_package(part) not in KNOWN_PACKAGES for part in (*callbacks, module)):
        return
    known = {*common, *other_values(callbacks, module, splits, validates)}
    for name, callback in asked.items():
        if name not in known:
            close = difflib.get_close_matches(name, sorted(known), n=1)
            meant = f"did you mean {close[0]}? " if close else ""
            raise InputError(
                f"{type(callback).__name__}: monitor={name} will not be logged; {meant}There will be "
                f"{', '.join(common)}, and errors by element and configuration type"
            )


def common_errors(loss: PotentialLoss, splits: Splits, validates: bool) -> Iterator[str]:
    """Names of the losses and of the errors of targets in training and validation."""
    yield "train/loss"
    yield from (f"train/{target.label}_rmse" for name, target in TARGETS.items() if loss.uses(name))
    if not validates:
        return
    yield "val/loss"
    there = contents(splits.val)
    given = {"energy"} | ({"forces"} if loss.uses("stress") else set())
    for name, target in TARGETS.items():
        if (name in given or loss.uses(name)) and there.count(name):
            yield from (f"val/{target.label}_{kind}" for kind in ERROR_KINDS)


def other_values(
    callbacks: Iterable[Callback], module: PotentialModule, splits: Splits, validates: bool
) -> Iterator[str]:
    """Names of terms of the loss, learning rates, errors of groups and values of the long-range layer."""
    yield from ANY_TIME
    yield from ("lr/kernel", "lr/latents")
    terms = [name for name in TARGETS if module.loss.uses(name)]
    yield from (f"train/{name}" for name in (*terms, "neutrality", "kernel", *module.loss.regularization))
    for callback in callbacks:
        if isinstance(callback, LongRangeDiagnostics):
            yield from diagnostics(module.model, callback.boxes)
        if isinstance(callback, ErrorsByGroup) and validates:
            yield from errors_of_groups(splits.val, module.model)


def errors_of_groups(structures: Sequence[Structure], model: SOGNet) -> Iterator[str]:
    """Names under which ErrorsByGroup logs what it finds of a validation split."""
    types = sorted({str(s.info.get(CONFIGURATION_TYPE, "")) for s in structures} - {""})
    yield "val/energy_short_range_rms"
    if model.long_range is not None:
        yield from ("val/energy_long_range_rms", "val/long_range_share")
    for kind in ("rmse", "mae"):
        yield from (f"val/force_{kind}/{element}" for element in model.species)
        yield from (f"val/{t}_{kind}/{CONFIGURATION_TYPE}={of}" for t in ("energy", "force") for of in types)


def _package(part: Any) -> str:
    return type(part).__module__.partition(".")[0]
