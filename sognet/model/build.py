"""A model from its configuration and the statistics of the training split."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from sognet.data import Statistics, Structure, statistics
from sognet.data.graph import build_batch
from sognet.errors import InputError
from sognet.interfaces import ShortRange
from sognet.model.reference_energies import ReferenceEnergies
from sognet.model.short_range_output import evaluating
from sognet.model.sognet import SOGNet, as_baseline
from sognet.trust import resolve

STRUCTURES_AT_ONCE = 16

ELSEWHERE = ("initial_charges", "baseline")
"""Settings of the group that the model is not built from: see training.initial_values and `build_baseline`."""

WHERE_TAKEN = ("species", "cutoff")
"""Settings of every short-range model, passed on to those that take them."""


def build_model(
    config: Mapping[str, Any], found: Statistics, structures: Sequence[Structure] = (), trust: Iterable[str] = ()
) -> SOGNet:
    """Instantiate the `model` group; what it leaves null is taken from the training split.

    Where the short-range model has energies of its own, the reference energies are those of what it leaves.

    Parameters
    ----------
    config : the `model` group.
    found : statistics of the training split.
    structures : the training split, for models with energies of their own; none: their reference energies stay zero.
    trust : modules and packages outside this one whose classes may be built.

    Raises
    ------
    InputError : `reference_energies=isolated` without a structure of one atom for every element; elements that the
        short-range model does not know; a class that is not trusted.
    """
    settings: dict[str, Any] = {}
    if config["energy_scale"] is None:
        settings["energy_scale"] = found.force_rms
    wanted = config["short_range"]
    passed = _short_range_settings(wanted, found, trust)
    short_range = instantiate(passed, _convert_="all")
    for name in WHERE_TAKEN:
        own, given = getattr(short_range, name), wanted.get(name)
        if name not in passed and given is not None and given != own:
            raise InputError(f"the short-range model has a {name} of its own; set model.short_range.{name}={own}")
    if unknown := sorted(set(found.species) - set(short_range.species)):
        raise InputError(
            f"the training structures have {', '.join(unknown)}; the short-range model knows "
            f"{', '.join(short_range.species)} (model.short_range.species)"
        )
    long_range = None
    if target := config["long_range"]["_target_"]:
        resolve(target, trust, "model.long_range._target_")
        long_range = instantiate(_long_range_settings(config["long_range"], wanted, short_range), _convert_="all")
    energies = config["reference_energies"]
    fitted = energies is None or energies == "isolated"
    if fitted:
        settings["reference_energies"] = None
    config = {name: value for name, value in config.items() if name not in ELSEWHERE}
    model: SOGNet = instantiate(config, short_range=short_range, long_range=long_range, _convert_="all", **settings)
    if fitted:
        if model.energy_head is None:
            found = statistics(what_is_left(model, structures, of_long_range=False))
        model.composition = ReferenceEnergies(reference_energies(energies == "isolated", found))
    return model


def build_baseline(model: Mapping[str, Any], trust: Iterable[str] = ()) -> SOGNet | None:
    """Frozen model to which the model of a configuration adds; None where the group `model/baseline` is `none`.

    Parameters
    ----------
    model : the `model` group; its `baseline` names a function or class, which gives a SOGNet or a short-range model
        with energies of its own.
    trust : modules and packages outside this one whose classes may be built.

    Raises
    ------
    InputError : there is no such trained model, it gives no energies, or lacks an element of
        `model.short_range.species`; a class that is not trusted.
    """
    config = model.get("baseline")
    if not config or config["_target_"] is None:
        return None
    target = resolve(config["_target_"], trust, "model.baseline._target_")
    plain = OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else config
    settings = {name: value for name, value in plain.items() if name != "_target_"}
    sources = [name for name in ("pretrained", "checkpoint") if name in settings]
    if sources and not any(settings[name] for name in sources):
        raise InputError(f"model.baseline: a baseline is a trained model; set model.baseline.{' or .'.join(sources)}")
    passed = {"species": [], "cutoff": None} if "pretrained" in settings else {}  # a trained model has its own
    passed |= {"trust": list(trust)} if takes(target, "trust") else {}
    try:
        baseline = as_baseline(target(**passed, **settings)).to(torch.get_default_dtype())
    except (InputError, ValueError) as error:
        raise InputError(str(error).replace("model.short_range", "model.baseline")) from error
    if unknown := sorted(set(model["short_range"].get("species") or ()) - set(baseline.species)):
        raise InputError(f"model.short_range.species: the baseline does not know {', '.join(unknown)}")
    return baseline


def what_is_left(model: SOGNet, structures: Iterable[Structure], of_long_range: bool) -> Iterator[Structure]:
    """Structures whose energy is what the model leaves of it; those without an energy are left out.

    Parameters
    ----------
    model : its short-range energy without reference energies is taken off.
    structures : gone through once.
    of_long_range : whether the long-range energy is taken off as well.
    """
    labelled = (s for s in structures if s.energy is not None)
    while several := list(islice(labelled, STRUCTURES_AT_ONCE)):
        graph = build_batch(several, model.cutoff).to(model.device)
        with evaluating(model), torch.no_grad():
            out = model(graph, forces=False, stress=False)
        composition = model.composition(graph.z, graph.batch, len(several))
        long_range = 0.0 if of_long_range else out["energy_long_range"]
        known = (out["energy"] - composition - long_range).tolist()
        for structure, energy in zip(several, known, strict=True):
            yield replace(structure, energy=structure.energy - energy)


def takes(target: Callable[..., Any], argument: str) -> bool:
    """Whether a class or function has an argument of this name."""
    parameters = inspect.signature(target).parameters
    return argument in parameters or any(p.kind == p.VAR_KEYWORD for p in parameters.values())


def _short_range_settings(config: Mapping[str, Any], found: Statistics, trust: Iterable[str]) -> dict[str, Any]:
    """Settings of the short-range model, with what the training split decides."""
    target = resolve(config["_target_"], trust, "model.short_range._target_")
    settings = dict(config)
    if settings.get("species") is None:
        settings["species"] = found.species
    for name in WHERE_TAKEN:
        if not takes(target, name):
            settings.pop(name, None)
    if config.get("n_neighbors", 0.0) is None:
        if found.average_neighbors is None:
            raise InputError(
                "model.short_range.n_neighbors=null: the neighbours of this data set were not counted; prepare it with "
                "cutoff=<that of the model>, or give a number"
            )
        settings["n_neighbors"] = max(1.0, found.average_neighbors)
    if config.get("energy_scale", 0.0) is None:
        settings["energy_scale"] = found.force_rms
    if "trust" in inspect.signature(target).parameters:
        settings["trust"] = list(trust)
    return settings


def _long_range_settings(
    config: Mapping[str, Any], wanted: Mapping[str, Any], short_range: ShortRange
) -> dict[str, Any]:
    """Settings of the long-range layer, with the cutoff of the short-range model and the number of its species."""
    settings = dict(config)
    if "cutoff" in settings and settings["cutoff"] == wanted.get("cutoff"):
        settings["cutoff"] = short_range.cutoff  # a trained model keeps its own
    if settings.pop("species_wise", False):
        settings["n_species"] = len(short_range.species)
    return settings


def reference_energies(isolated: bool, found: Statistics) -> dict[str, float]:
    """Those of single atoms or by least squares.

    Raises
    ------
    InputError : an element without a structure of one atom.
    """
    if not isolated:
        return found.reference_energies
    if missing := sorted(set(found.species) - set(found.isolated_energies)):
        raise InputError(
            f"model.reference_energies=isolated needs a training structure of a single atom of {', '.join(missing)}, "
            "not periodic or in a box of at least 8 Å"
        )
    return found.isolated_energies
