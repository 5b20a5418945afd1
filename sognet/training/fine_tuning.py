"""Fine-tuning: a training that starts from a trained model, and parameters that a training leaves as they are."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import torch

from sognet.analysis.predictions import predict
from sognet.data import Structure, statistics
from sognet.errors import InputError
from sognet.model import SOGNet, load_model
from sognet.model.reference_energies import ReferenceEnergies


def model_to_fine_tune(
    checkpoint: str | Path,
    structures: Sequence[Structure],
    reference_energies: Mapping[str, float] | None = None,
    trust: Iterable[str] = (),
) -> SOGNet:
    """Trained model with the reference energies of another data set, in single precision.

    Another functional or program shifts the energy of every atom of an element by a constant. The model learns faster
    if that is taken off first: what its interaction energy leaves of the reference energies is fitted by composition.

    Parameters
    ----------
    checkpoint : of a run.
    structures : training split.
    reference_energies : eV by chemical symbol; None: fitted as above. Elements without one keep what they had.
    trust : modules and packages outside this one from which the model may be built.

    Raises
    ------
    InputError : the checkpoint cannot be used, or the structures have an element that the model does not know.
    """
    model = load_model(checkpoint, dtype=torch.float32, trust=trust)
    if reference_energies is None:
        remainders = [
            replace(p.structure, energy=p.structure.energy - p.energy_short_range - p.energy_long_range)
            for p in predict(model, [s for s in structures if s.energy is not None])
        ]
        reference_energies = statistics(remainders).reference_energies
    model.composition = ReferenceEnergies({**model.reference_energies, **reference_energies})
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
