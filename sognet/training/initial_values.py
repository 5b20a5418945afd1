"""Initial values of a new model that the data decide: standardized features, latents near charges of elements."""

import logging
from collections.abc import Mapping, Sequence

from sognet.data import Structure
from sognet.data.graph import build_batch
from sognet.errors import InputError
from sognet.model import SOGNet
from sognet.training.initial_charges import charges_from_forces

logger = logging.getLogger(__name__)

STANDARDIZATION_STRUCTURES = 100
"""Structures of the training split from which features are standardized and latent variables get their start."""


def initialize(
    model: SOGNet, structures: Sequence[Structure], initial_charges: Mapping[str, float] | str | None
) -> None:
    """Standardize the features of a new model and start its latents near charges of their elements.

    Parameters
    ----------
    structures : training split.
    initial_charges : in e by chemical symbol; "auto": from the forces, where they ask for charges; None: near zero.

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
    if not (model.standardize or initial_charges):
        return
    sample = structures[:: max(1, len(structures) // STANDARDIZATION_STRUCTURES)]
    graph = build_batch(sample, model.cutoff).to(model.device)
    if model.standardize:
        model.set_standardization(graph)
    if initial_charges == "auto":
        initial_charges = _found(model, structures) if model.latent_head.bypass is not None else None
    if initial_charges:
        try:
            model.start_latents(graph, initial_charges)
        except ValueError as error:
            raise InputError(f"model.initial_charges: {error}") from None


def _found(model: SOGNet, structures: Sequence[Structure]) -> dict[str, list[float]] | None:
    """Charges that the forces ask for, said in one line."""
    fit = charges_from_forces(model, structures)
    if fit is None or not fit.charges.any():
        logger.info("latent charges start near zero: forces beyond those of pairs of neighbours ask for none")
        return None
    charges = {symbol: row.tolist() for symbol, row in zip(model.species, fit.charges, strict=True)}
    named = ", ".join(f"{symbol} {row[0]:+.2f}" for symbol, row in charges.items())
    logger.info("latent charges start from %s e, fitted to the forces of %d structures", named, fit.n_structures)
    return charges
