"""A model from its configuration and the statistics of the training split."""

from collections.abc import Mapping
from typing import Any

from hydra.utils import instantiate

from sognet.model.sognet import SOGNet


def build_model(
    config: Mapping[str, Any], species: list[str], composition: Mapping[str, float], force_rms: float
) -> SOGNet:
    """Instantiate the `model` group; what it leaves null is taken from the training split.

    Parameters
    ----------
    config : the `model` group.
    species : elements of the training split.
    composition : least-squares composition energies, eV.
    force_rms : root mean square force component, eV/Å.
    """
    settings: dict[str, Any] = {}
    if config["composition_energies"] is None:
        settings["composition_energies"] = dict(composition)
    if config["energy_scale"] is None:
        settings["energy_scale"] = force_rms
    short_range = instantiate(config["short_range"], species=config["short_range"]["species"] or species)
    long_range = instantiate(config["long_range"]) if config["long_range"]["_target_"] else None
    return instantiate(config, short_range=short_range, long_range=long_range, _convert_="all", **settings)
