"""Fine-tuning: a training that starts from a trained model, and parameters that a training leaves as they are."""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import torch

from sognet.analysis.predictions import check_species
from sognet.data import Structure, statistics
from sognet.errors import InputError
from sognet.model import SOGNet, load_model
from sognet.model.build import reference_energies, what_is_left
from sognet.model.reference_energies import ReferenceEnergies


def model_to_fine_tune(
    checkpoint: str | Path,
    structures: Sequence[Structure],
    energies: Mapping[str, float] | str | None = None,
    trust: Iterable[str] = (),
) -> SOGNet:
    """Trained model with the reference energies of another data set, in single precision.

    Another functional or program shifts the energy of every atom of an element by a constant. The model learns faster
    if that is taken off first: what its interaction energy leaves of the energies is fitted by composition.

    Parameters
    ----------
    checkpoint : of a run.
    structures : training split.
    energies : reference energies in eV by chemical symbol; None: fitted as above; "isolated": what the model leaves of
        the structures of a single atom. Elements without one keep what they had.
    trust : modules and packages outside this one from which the model may be built.

    Raises
    ------
    InputError : the checkpoint cannot be used, or the structures have an element that the model does not know.
    """
    model = load_model(checkpoint, dtype=torch.float32, trust=trust)
    check_species(model, structures)
    if energies is None or energies == "isolated":
        left = statistics(what_is_left(model, structures, of_long_range=True))
        energies = reference_energies(energies == "isolated", left)
    model.composition = ReferenceEnergies({**model.reference_energies, **energies})
    return model.train()


def freeze(model: SOGNet, patterns: Sequence[str]) -> None:
    """Leave parameters whose names match a pattern (`short_range.*`, `*.layers.0.*`) as they are in training.

    Raises
    ------
    InputError : a pattern that matches no parameter, or nothing is left to train.
    """
    parameters = dict(model.named_parameters())
    for pattern in patterns:
        matching = [p for name, p in parameters.items() if fnmatchcase(name, pattern)]
        if not matching:
            raise InputError(f"freeze: {pattern!r} matches no parameter; there are {', '.join(parameters)}")
        for parameter in matching:
            parameter.requires_grad_(False)
    if not any(p.requires_grad for p in parameters.values()):
        raise InputError(f"freeze: {list(patterns)} leaves no parameter to train")
