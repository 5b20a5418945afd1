"""Initial values of a new model that the data decide: standardized features, latents near charges of elements, and
reference energies of what such charges leave.
"""

import logging
from collections.abc import Mapping, Sequence

from sognet.data import Structure, statistics
from sognet.data.graph import build_batch
from sognet.data.usual_sizes import with_usual_forces
from sognet.errors import InputError
from sognet.model import SOGNet
from sognet.model.build import what_is_left
from sognet.model.initial_latents import start_latents
from sognet.model.reference_energies import ReferenceEnergies
from sognet.training.initial_charges import charges_from_forces

logger = logging.getLogger(__name__)

STANDARDIZATION_STRUCTURES = 100
"""Structures of the training split from which features are standardized and latent variables get their start, less
those whose forces stand out."""

WORTH_NAMING = 0.05
"""Share of the squared force that charges explain, from which on those that are too little to start from are named."""

ENERGY_STRUCTURES = 400
"""Structures of the training split to which reference energies are fitted once latents have charges."""


def initialize(
    model: SOGNet,
    structures: Sequence[Structure],
    initial_charges: Mapping[str, float] | str | None,
    fitted_energies: bool = False,
) -> None:
    """Standardize the features of a new model and start its latents near charges of their elements.

    Parameters
    ----------
    structures : training split.
    initial_charges : in e by chemical symbol; "auto": from the forces, where they ask for charges; None: near zero.
    fitted_energies : whether the reference energies were fitted to the energies of the structures; they are then
        fitted to what the charges leave of these.

    Raises
    ------
    InputError : the latent variables cannot start from these charges.
    """
    if not model.long_range or model.charges is not None:
        initial_charges = None
    elif model.neutral:
        charges = sorted({structure.charge for structure in structures[:: max(1, len(structures) // 1000)]})
        named = ", ".join(f"{charge:g}" for charge in charges[:5]) + (", …" if len(charges) > 5 else "")
        logger.info("latent charges of a structure add up to its total charge, %s e (dataset.charge_key)", named)
    if model.standardize or initial_charges:
        initial_charges = _start(model, structures, initial_charges)
    if fitted_energies and model.long_range and (initial_charges or model.charges):
        fit_reference_energies(model, structures)


def _start(
    model: SOGNet, structures: Sequence[Structure], initial_charges: Mapping[str, float] | str | None
) -> Mapping[str, float] | None:
    """Standardize the features and start the latents; returns the charges that these start from."""
    sample = with_usual_forces(structures[:: max(1, len(structures) // STANDARDIZATION_STRUCTURES)])
    graph = build_batch(sample, model.cutoff).to(model.device)
    if model.standardize:
        model.set_standardization(graph)
    if initial_charges == "auto":
        initial_charges = _found(model, structures) if model.latent_head.bypass is not None else None
    if initial_charges:
        try:
            start_latents(model, graph, initial_charges)
        except ValueError as error:
            raise InputError(f"model.initial_charges: {error}") from None
    return initial_charges


def fit_reference_energies(model: SOGNet, structures: Sequence[Structure]) -> None:
    """Fit the reference energies to what a model with initial charges leaves of the energies.

    Charges have an energy from the start, several eV per atom in a salt, and reference energies that were fitted to the
    whole energies hold it as well. A model that starts wrong by it learns this constant first, and slowly.

    Parameters
    ----------
    structures : training split; ENERGY_STRUCTURES of it are taken. Elements that these lack keep their energies.
    """
    sample = structures[:: max(1, len(structures) // ENERGY_STRUCTURES)]
    left = statistics(what_is_left(model, sample, of_long_range=True))
    model.composition = ReferenceEnergies({**model.reference_energies, **left.reference_energies})


def _found(model: SOGNet, structures: Sequence[Structure]) -> dict[str, list[float]] | None:
    """Charges that the forces ask for, said in one line."""
    fit = charges_from_forces(model, structures)
    if fit is None:
        logger.info("latent charges start near zero: they are found from two structures with forces or more")
        return None
    charges = {symbol: row.tolist() for symbol, row in zip(model.species, fit.fitted, strict=True)}
    named = ", ".join(f"{symbol} {row[0]:+.2f}" for symbol, row in charges.items() if any(row))
    if not fit.charges.any():
        found = "forces beyond those of pairs of neighbours ask for none"
        if named and fit.explained > WORTH_NAMING:
            value = ", ".join(f"{symbol}: {row[0]:.2f}" for symbol, row in charges.items() if any(row))
            found = (
                f"{named} e would explain {fit.explained:.0%} of the squared forces beyond those of pairs of "
                f"neighbours, which is too little ('model.initial_charges={{{value}}}' starts from them)"
            )
        logger.info("latent charges start near zero: %s", found)
        return None
    logger.info("latent charges start from %s e, fitted to the forces of %d structures", named, fit.n_structures)
    return charges
