"""Models as plain values: what a checkpoint holds beside the weights, and how a model is rebuilt from it.

Only classes of this package, by name, are ever built, so that a stranger's checkpoint cannot run code. Every
constructor argument of these classes is an attribute of the same name.
"""

import inspect
import reprlib
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from sognet.errors import InputError
from sognet.long_range import FourierConvolution, SumOfGaussians
from sognet.model.sognet import SOGNet
from sognet.short_range import CACE, DeepPotential

CLASSES: dict[str, type[nn.Module]] = {
    c.__name__: c for c in (SOGNet, CACE, DeepPotential, FourierConvolution, SumOfGaussians)
}


RENAMED = {"composition_energies": "reference_energies"}
"""Settings that earlier versions stored under another name."""


def describe(module: nn.Module) -> dict[str, Any]:
    """Class name and constructor arguments of a module as numbers, strings, lists and dictionaries."""
    names = inspect.signature(type(module)).parameters
    return {"class": type(module).__name__, **{name: _plain(getattr(module, name)) for name in names}}


def rebuild(description: Any) -> nn.Module:
    """Module of a description, with untrained weights.

    Raises
    ------
    InputError : an unknown class or arguments that the class does not accept.
    """
    if not isinstance(description, Mapping) or str(description.get("class")) not in CLASSES:
        raise InputError(f"not the description of a sognet model: {reprlib.repr(description)[:80]}")
    cls = CLASSES[description["class"]]
    arguments = {RENAMED.get(k, k): v for k, v in description.items() if k != "class"}
    if unknown := set(arguments) - set(inspect.signature(cls).parameters):
        raise InputError(f"{cls.__name__} has no setting {', '.join(sorted(map(str, unknown)))[:200]}")
    nested = {k: rebuild(v) if isinstance(v, Mapping) and "class" in v else v for k, v in arguments.items()}
    try:
        return cls(**nested)
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError) as error:
        raise InputError(f"the settings of {cls.__name__} do not fit together: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, nn.Module):
        return describe(value)
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
