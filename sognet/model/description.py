"""Models as plain values: what a checkpoint holds beside the weights, and how a model is rebuilt from it.

A description is the import path of a module's class and its constructor's arguments, each of which the module keeps as
an attribute of the same name. Only modules of this package and of those that are trusted are built (sognet.trust).
"""

import inspect
import reprlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sognet.errors import InputError
from sognet.long_range import FourierConvolution, SumOfGaussians
from sognet.model.short_range_output import evaluating, two_atoms
from sognet.model.sognet import SOGNet
from sognet.short_range import CACE, DeepPotential
from sognet.trust import resolve

CLASSES: dict[str, type[nn.Module]] = {
    c.__name__: c for c in (SOGNet, CACE, DeepPotential, FourierConvolution, SumOfGaussians)
}
"""Classes that go by their name alone, wherever they move to."""

RENAMED = {"composition_energies": "reference_energies"}
"""Settings that earlier versions stored under another name."""

SAME = 1e-4
"""Relative difference of energies between a model and its copy that rounding explains."""


def describe(module: nn.Module) -> dict[str, Any]:
    """Import path and constructor arguments of a module as numbers, strings, lists and dictionaries.

    Raises
    ------
    InputError : the module does not keep an argument as an attribute, or one that is no plain value, or its class
        cannot be imported.
    """
    cls = type(module)
    name = cls.__name__
    if CLASSES.get(name) is not cls:
        if cls.__module__ == "__main__" or "<locals>" in cls.__qualname__:
            raise InputError(f"{name} cannot be imported by a later program; define it at the top level of a module")
        name = f"{cls.__module__}.{cls.__qualname__}"
    arguments = {}
    for argument, parameter in inspect.signature(cls).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise InputError(f"{name}: a checkpoint needs arguments with names, but its constructor takes {parameter}")
        if not hasattr(module, argument):
            raise InputError(
                f"{name} keeps no attribute {argument!r}; a checkpoint rebuilds it from its constructor's arguments: "
                f"add self.{argument} = {argument}"
            )
        arguments[argument] = _plain(getattr(module, argument), f"{name}.{argument}")
    return {"class": name, **arguments}


def rebuild(description: Any, trust: Iterable[str] = ()) -> nn.Module:
    """Module of a description, with untrained weights.

    Parameters
    ----------
    description : what `describe` gave.
    trust : modules and packages outside this one whose classes may be built.

    Raises
    ------
    InputError : not a description, a class that is not trusted or not there, or arguments that it does not accept.
    """
    if not isinstance(description, Mapping) or not isinstance(description.get("class"), str):
        raise InputError(f"not the description of a sognet model: {reprlib.repr(description)[:80]}")
    name = description["class"]
    if name not in CLASSES and "." not in name:
        raise InputError(f"not the description of a sognet model: {reprlib.repr(name)[:80]}")
    cls = CLASSES.get(name) or resolve(name, trust)
    if not (inspect.isclass(cls) and issubclass(cls, nn.Module)):
        raise InputError(f"{name}: not a class of modules")
    arguments = {RENAMED.get(k, k): v for k, v in description.items() if k != "class"}
    if unknown := set(arguments) - set(inspect.signature(cls).parameters):
        raise InputError(f"{name} has no setting {', '.join(sorted(map(str, unknown)))[:200]}")
    nested = {k: rebuild(v, trust) if isinstance(v, Mapping) and "class" in v else v for k, v in arguments.items()}
    try:
        return cls(**nested)
    except Exception as error:  # whatever a class of the user's own raises
        lists = any(isinstance(value, list) for value in arguments.values())
        hint = "; its lists may have been tensors, arrays or tuples, which a checkpoint holds as lists" if lists else ""
        raise InputError(f"the settings of {name} do not fit together: {error}{hint}") from error


def check_rebuilds(model: SOGNet, trust: Iterable[str] = ()) -> None:
    """Rebuild a model from its description and weights as a checkpoint would, and compare.

    Raises
    ------
    InputError : that fails, or the copy gives other energies; says what to change.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        other = rebuild(describe(model), trust).to(device=model.device, dtype=model.dtype)
        try:
            other.load_state_dict(model.state_dict())
        except RuntimeError as error:
            raise InputError(f"the model cannot be loaded again from its settings and weights: {error}") from None
        graph = two_atoms(model.short_range)
        energies = []
        for one in (model, other):
            with evaluating(one):
                out = one(graph, forces=False, stress=False)
            energies.append(torch.stack([out["energy_short_range"], out["energy_long_range"]]))
        if not torch.allclose(*energies, rtol=SAME, atol=SAME * float(energies[0].abs().max()), equal_nan=True):
            raise InputError(
                "the model, rebuilt from its constructor's arguments and weights as a checkpoint would, gives other "
                "energies; what it computes with must be an argument, a parameter or a buffer"
            )


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, nn.Module):
        return _described(value, name)
    if isinstance(value, Tensor | np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        if "class" in value:
            raise InputError(f"{name}: a checkpoint keeps the key 'class' for modules; rename it")
        return {_plain(k, f"a key of {name}"): _no_module(v, name) for k, v in value.items()}
    if type(value) is tuple and name.startswith("a key of "):
        return tuple(_plain(v, name) for v in value)
    if isinstance(value, list | tuple):
        return [_no_module(v, name) for v in value]
    if isinstance(value, Path):
        return str(value)
    if type(value) in (type(None), bool, int, float, str):  # not an enum, which is no plain value in a file
        return value
    raise InputError(
        f"{name} is a {type(value).__name__}; a checkpoint holds numbers, strings, lists, dictionaries and modules: "
        "let the constructor take these and make the rest of them"
    )


def _described(module: nn.Module, name: str) -> dict[str, Any]:
    if type(module).__module__.partition(".")[0] == "torch":
        raise InputError(
            f"{name} is a torch.nn.{type(module).__name__}, which a checkpoint cannot describe; let the constructor "
            "take its settings and make it, under another name than the argument's"
        )
    return describe(module)


def _no_module(value: Any, name: str) -> Any:
    """Plain value within a list or a dictionary."""
    if isinstance(value, nn.Module):
        raise InputError(f"{name} holds modules; a checkpoint describes those that are arguments of their own")
    return _plain(value, name)
