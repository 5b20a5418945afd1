"""Committees: models trained from different seeds, whose disagreement is the uncertainty of their mean.

With M members whose predictions are y_1 … y_M the committee predicts their mean ȳ, and its uncertainty is the sample
standard deviation σ = √[Σ_m (y_m − ȳ)²/(M − 1)] (G. Imbalzano et al., J. Chem. Phys. 154, 074102 (2021)).
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from sognet.errors import InputError
from sognet.model.checkpoint import load_model
from sognet.model.sognet import SOGNet


def load_committee(
    paths: Sequence[str | Path],
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    trust: str | Iterable[str] = (),
) -> list[SOGNet]:
    """Members of a committee from their checkpoints; arguments as of load_model.

    Raises
    ------
    InputError : a checkpoint cannot be used, or the members do not make a committee (see check_members).
    """
    members = [load_model(path, device, dtype, trust) for path in paths]
    check_members(members, [str(path) for path in paths])
    return members


def check_members(members: Sequence[SOGNet], names: Sequence[str]) -> None:
    """Raise an InputError, by name, where there are fewer than two members or they know different elements.

    Everything else may differ: the cutoff, the descriptor, the long-range layer.
    """
    if len(members) < 2:
        raise InputError(f"a committee needs at least two models, got {', '.join(names) or 'none'}")
    for member, name in zip(members, names, strict=True):
        if set(member.species) != set(members[0].species):
            raise InputError(
                f"the members of a committee must know the same elements; {names[0]} knows "
                f"{', '.join(members[0].species)}, {name} knows {', '.join(member.species)}"
            )


def energy_uncertainty(energies: np.ndarray) -> np.ndarray:
    """Uncertainty of the mean of the members' energies (M, ...) -> (...), in their unit."""
    return np.std(energies, axis=0, ddof=1)


def forces_uncertainty(forces: np.ndarray) -> np.ndarray:
    """Uncertainty of the mean of the members' forces on each atom (M, N, 3) -> (N,), in their unit.

    The root mean square over the three components, σ_i = √(⅓ Σ_α σ_iα²), so that it compares with force errors per
    component. The model deviation of Y. Zhang et al. (DP-GEN), Comput. Phys. Commun. 253, 107206 (2020), is
    √(3(M − 1)/M) times as large.
    """
    return np.sqrt(np.var(forces, axis=0, ddof=1).mean(-1))


def charge_signs(latents: Sequence[np.ndarray]) -> list[int]:
    """Signs with which the charges of members, their first latents (N,P) of one structure, are most like those of the
    first member. Energies and forces do not tell the sign.
    """
    charges = [latent[:, :1] for latent in latents]
    return [-1 if q.size == charges[0].size and (q * charges[0]).sum() < 0 else 1 for q in charges]
