"""Mistakes in a configuration, found before data are read or a folder is made.

What a value may be is read off the signature that it is passed to.
"""

import difflib
import inspect
import sys
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Literal

from hydra.errors import InstantiationException
from hydra.experimental.callback import Callback
from hydra.utils import get_object
from lightning.pytorch.callbacks import Checkpoint
from omegaconf import DictConfig, ListConfig, OmegaConf
from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from sognet.data import Stage
from sognet.errors import InputError
from sognet.long_range import FourierConvolution, SumOfGaussians, log_spaced_convolution, power_law_convolution
from sognet.model import SOGNet
from sognet.model.build import WHERE_TAKEN
from sognet.renamed_settings import refuse_renamed_in
from sognet.training.budget import AUTOMATIC, LENGTHS, LIMITS, length_conflicts
from sognet.training.own_modules import check_own_targets, with_own_targets
from sognet.trust import search_working_directory, trusted_names


def of_a_model(initial_charges: dict[str, float] | Literal["auto"] | None) -> None:
    """Types of settings of the model group that the model does not take."""


def of_a_layer(species_wise: bool) -> None:
    """Types of settings of long-range layers that are replaced when a model is built."""


HANDED_ON: dict[Callable, tuple[Callable, ...]] = {
    power_law_convolution: (SumOfGaussians.power_law, FourierConvolution, of_a_layer),
    log_spaced_convolution: (SumOfGaussians.log_spaced, FourierConvolution, of_a_layer),
}
"""Functions that hand their settings on, and to whom."""

GROUPS = (
    "paths",
    "dataset",
    "batch",
    "model",
    "module",
    "loss",
    "optimizer",
    "scheduler",
    "trainer",
    "callbacks",
    "logger",
)
"""Groups of conf/train.yaml that have a place of their own in the configuration."""

PASSED_WHERE_TAKEN = tuple(f"model.short_range.{name}" for name in WHERE_TAKEN)


def of_a_schedule(interval: Literal["epoch", "step"] | None) -> None:
    """Settings of the group `scheduler` that do not go to the schedule."""


BESIDE: dict[str, tuple[Callable, ...]] = {"scheduler": (of_a_schedule,)}
"""Functions whose settings a group has as well."""

IN_WORDS = {"model.reference_energies": ("isolated",), "trainer.max_epochs": (AUTOMATIC,)}
"""Values that stand for others which the run puts in their place."""


class RefuseMistakes(Callback):
    """Ends `sognet train` before Hydra makes the run folder, where the configuration cannot be meant."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Check."""
        try:
            check(config, config.hydra.overrides.task)
        except InputError as error:
            print(f"\nerror: {error}", file=sys.stderr)
            sys.exit(1)


def check(config: DictConfig, overrides: Sequence[str] = ()) -> None:
    """Check a composed configuration of `sognet train`.

    Parameters
    ----------
    config : with or without interpolations.
    overrides : of the command line, to tell a value that was asked for from a default.

    Raises
    ------
    InputError : a name or a type that what it is for does not have, or two settings that contradict each other.
    """
    if config.get("resume"):
        return
    refuse_renamed_in(config)
    config = with_own_targets(config, overrides)
    trust = trusted_names(config.get("trust"))
    check_own_targets(config, trust)
    if trust:
        search_working_directory()
    for number, stage in enumerate(config.batch.stages):
        _check_settings(stage, (Stage,), f"batch.stages[{number}]")
    for name, node in config.items_ex(resolve=False):
        if isinstance(node, DictConfig) and name != "hydra":
            _check_targets(node, str(name))
    own = [name for name in config if name not in (*GROUPS, "hydra")]
    _check_settings(OmegaConf.masked_copy(config, own), (of_a_run,), "")
    for contradiction in contradictions(config, overrides):
        raise InputError(contradiction)


def check_settings(config: DictConfig, names: Sequence[str]) -> None:
    """Check the groups that settings of a resumed run are in; others are as they were when it started.

    Raises
    ------
    InputError : a type that what the setting is for does not have.
    """
    for group in dict.fromkeys(name.partition(".")[0] for name in names):
        if isinstance(config.get(group), DictConfig):
            _check_targets(config[group], group)
        else:
            _check_settings(OmegaConf.masked_copy(config, [group]), (of_a_run,), "")
    if any(name in LENGTHS or name.partition(".")[0] == "trainer" for name in names):
        for contradiction in _of_the_length(config, names):
            raise InputError(contradiction)


def of_a_run(
    name: str,
    folder: str,
    tags: list[str],
    seed: int,
    train: bool,
    test: bool,
    ensemble: int,
    time: str | int | float | None,
    epochs: int | None,
    steps: int | None,
    resume: str | None,
    trust: list[str] | str | None,
    data_changed: Literal["accept"] | None,
    start_from: str | None,
    freeze: list[str],
) -> None:
    """Names and types of the settings outside of the groups; another one is refused."""


def contradictions(config: DictConfig, overrides: Sequence[str] = ()) -> Iterator[str]:
    """What cannot be meant, and what to do about it."""
    given = {o.lstrip("+~").partition("=")[0] for o in overrides}
    trainer, dataset = config.trainer, config.dataset
    if config.seed is None:
        yield "seed=null: training draws the same numbers when it is repeated; set a whole number"
    yield from _of_the_length(config, given)
    for name, callback in config.callbacks.items():
        kept = callback.get("save_top_k") if callback else None
        if kept not in (None, 0, 1) and "{" not in (callback.get("filename") or "{epoch}"):
            yield (
                f"callbacks.{name}.save_top_k={kept}: several checkpoints cannot all be {callback.filename}.ckpt; set "
                f"callbacks.{name}.filename='{{epoch}}', and the best is best.ckpt as well when training ends"
            )
    if config.train and not any(_saves(callback) for callback in config.callbacks.values() if callback):
        chosen = next((o.partition("=")[2].strip("[]'\"") for o in overrides if o.startswith("callbacks=")), "")
        others = [name for name in (n.strip() for n in chosen.split(",")) if name not in ("", "default", "null")]
        yield (
            "callbacks: nothing saves a checkpoint, so that the training would be lost; keep the default callbacks, "
            f"'callbacks=[{','.join(['default', *others])}]'"
        )
    if trainer.get("enable_checkpointing") is False:
        yield "trainer.enable_checkpointing=false: a run reports on its checkpoints; leave it out"
    of_the_model = [n for n in given if n.partition("/")[0].partition(".")[0] == "model"]
    if config.start_from and set(of_the_model) - {"model.reference_energies"}:
        yield f"{of_the_model[0]} and start_from both say what the model is; leave one of them out"
    if isinstance(config.model.get("initial_charges"), DictConfig) and config.model.charges:
        yield "model.initial_charges and model.charges both say what the latent variables are; leave one of them out"
    if config.batch.stages and "trainer.max_epochs" in given:
        yield "trainer.max_epochs and batch.stages both say how long to train; leave one of them out"
    for split in ("val", "test"):
        if dataset.get(f"{split}_path") and dataset.get(f"{split}_fraction"):
            yield f"dataset.{split}_fraction and dataset.{split}_path both say what to take; leave one out"
    if str(trainer.strategy).startswith("ddp") and trainer.devices == 1 and trainer.num_nodes == 1:
        yield f"trainer.strategy={trainer.strategy} with one device; set trainer.devices, or trainer=cpu or trainer=gpu"
    if str(trainer.precision) not in ("32-true", "64-true", "32", "64"):
        yield (
            f"trainer.precision={trainer.precision}: set 32-true or 64-true; the Fourier sums have no half precision, "
            "and forces would be off by 3 % even without them (measured)"
        )
    if not _is_lbfgs(config):
        return
    if trainer.accumulate_grad_batches != 1 or config.batch.stages or config.batch.max_atoms or config.batch.max_edges:
        yield (
            "optimizer=lbfgs takes all structures in one batch; leave trainer.accumulate_grad_batches, batch.stages, "
            "batch.max_atoms and batch.max_edges out"
        )
    if trainer.gradient_clip_val is not None:
        yield "optimizer=lbfgs needs the true gradient for its line search; leave trainer.gradient_clip_val out"
    if str(trainer.strategy).startswith("ddp") or trainer.devices not in (1, "auto"):
        yield "optimizer=lbfgs runs on one device: its line search would part on several; set trainer.devices=1"
    if any("WeightAveraging" in str(c.get("_target_")) for c in config.callbacks.values() if c):
        yield "optimizer=lbfgs takes few, large steps, which callbacks=ema would average over; leave one of them out"
    usual = {"kernel_lr_factor": 1.0, "latent_lr_factor": 1.0, "kernel_weight_decay": 0.0}
    if any(config.module.get(name, value) != value for name, value in usual.items()):
        yield (
            "optimizer=lbfgs has no rates of parts: set module.kernel_lr_factor=1 module.latent_lr_factor=1 "
            "module.kernel_weight_decay=0, or optimizer=adam"
        )


def _saves(callback: DictConfig) -> bool:
    """Whether a callback saves checkpoints."""
    target = callback.get("_target_")
    if not isinstance(target, str):
        return False
    made = get_object(target)
    made = made if inspect.isclass(made) else _hints(made).get("return", Checkpoint)  # of a function, what it returns
    return inspect.isclass(made) and issubclass(made, Checkpoint)


def _of_the_length(config: DictConfig, given: Collection[str]) -> Iterator[str]:
    """Settings from which the length of the training is not known, or is none."""
    trainer = config.trainer
    yield from length_conflicts(config, given)
    if trainer.get("fast_dev_run"):
        yield "trainer.fast_dev_run makes no checkpoint to report on; debug=limit tries a run to its end"
    if trainer.get("limit_train_batches") == 0:
        yield "trainer.limit_train_batches=0 leaves nothing to train on; train=false makes the report only"
    for name in ("limit_test_batches", "limit_predict_batches"):
        if trainer.get(name) is not None:
            yield f"trainer.{name} changes nothing: reports are about all structures; test=false takes no test split"
    lengths = (*(config.get(name) for name in LENGTHS), *(trainer.get(limit) for limit in LIMITS.values()))
    if all(length is None for length in lengths):
        yield "trainer.max_epochs=null: set epochs or steps, or trainer.max_time"


def check_one_batch(config: DictConfig, n_structures: int) -> None:
    """Raise an InputError where L-BFGS would get the training structures in several batches."""
    size = config.batch.batch_size
    if _is_lbfgs(config) and not (isinstance(size, int) and n_structures <= size):
        raise InputError(
            f"optimizer=lbfgs takes all {n_structures} training structures in one batch, but batch.batch_size is "
            f"{size}; set batch.batch_size={n_structures}, or optimizer=adam"
        )


def _is_lbfgs(config: DictConfig) -> bool:
    return str(config.optimizer._target_).endswith("LBFGS")


def _check_targets(node: DictConfig, name: str) -> None:
    """Check a node that is instantiated, and those inside it."""
    for key, value in node.items_ex(resolve=False):
        if isinstance(value, DictConfig):
            _check_targets(value, f"{name}.{key}")
    target = node.get("_target_")
    if not isinstance(target, str):
        return
    try:
        function = get_object(target)
    except (InstantiationException, ImportError, AttributeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{name}._target_={target}: there is nothing of this name ({reason}); for a module in this folder "
            f"add trust=[{target.partition('.')[0]}]"
        ) from None
    handed_on = HANDED_ON.get(function, (function,))
    if isinstance(function, type) and issubclass(function, SOGNet):
        handed_on = (function, of_a_model)
    _check_settings(node, (*handed_on, *BESIDE.get(name, ())), name)


def _check_settings(node: DictConfig, functions: Sequence[Callable], name: str) -> None:
    """Check names and types of settings against the parameters of the functions that get them."""
    parameters: dict[str, inspect.Parameter] = {}
    hints: dict[str, Any] = {}
    for function in functions:
        parameters |= inspect.signature(function).parameters
        hints |= _hints(function)
    takes_any = any(p.kind == inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    for key in node:
        dotted = f"{name}.{key}" if name else str(key)
        if str(key).startswith("_") or (dotted in PASSED_WHERE_TAKEN and key not in parameters):
            continue
        if key not in parameters and not takes_any:
            close = difflib.get_close_matches(str(key), parameters, n=1)
            meant = (
                f"did you mean {dotted.removesuffix(str(key))}{close[0]}?"
                if close
                else f"there are {', '.join(parameters)}"
            )
            raise InputError(f"there is no {dotted}; {meant}")
        if OmegaConf.is_interpolation(node, key):  # checked where the value has its home
            continue
        value = node[key]
        if isinstance(value, DictConfig | ListConfig):
            value = OmegaConf.to_container(value, resolve=False)
        parts = value if isinstance(value, list) else [value]
        instantiated = any(isinstance(part, Mapping) and "_target_" in part for part in parts)
        if value is not None and not instantiated and value not in IN_WORDS.get(dotted, ()):
            _check_type(value, hints.get(str(key), Any), dotted)


def _check_type(value: Any, hint: Any, dotted: str) -> None:
    try:
        TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value)
    except ValidationError as error:
        reasons = dict.fromkeys(e["msg"] for e in error.errors() if "is_instance_of" not in e["type"])
        said = "; or ".join(reasons).lower()
        if "valid string" in said:
            example = _in_quotes(dotted, value)
            said += f"; text that reads as a number or as true, false or null needs quotes of its own: {example}"
        raise InputError(f"{dotted}={value}: {said}") from None
    except PydanticUserError:  # a hint that configured settings cannot hit, or with settings of its own
        return


def _in_quotes(dotted: str, value: Any) -> str:
    """A setting of text, as a shell takes it."""
    return f"'{dotted}=[\"2024\"]'" if isinstance(value, list) else f"'{dotted}=\"2024\"'"


def _hints(function: Callable) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function.__init__ if inspect.isclass(function) else function)
    except (NameError, TypeError):  # names that only a type checker imports
        return {}
