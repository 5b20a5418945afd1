"""A model from its configuration and the statistics of the training split."""

from collections.abc import Mapping
from typing import Any

from hydra.utils import instantiate

from sognet.data import Statistics
from sognet.errors import InputError
from sognet.model.sognet import SOGNet


def build_model(config: Mapping[str, Any], found: Statistics) -> SOGNet:
    """Instantiate the `model` group; what it leaves null is taken from the training split.

    Parameters
    ----------
    config : the `model` group.
    found : statistics of the training split.

    Raises
    ------
    InputError : `reference_energies=isolated` without a structure of one atom for every element.
    """
    settings: dict[str, Any] = {}
    if config["reference_energies"] is None:
        settings["reference_energies"] = found.reference_energies
    elif config["reference_energies"] == "isolated":
        if missing := sorted(set(found.species) - set(found.isolated_energies)):
            raise InputError(
                f"model.reference_energies=isolated needs a training structure of a single atom of {', '.join(missing)}"
            )
        settings["reference_energies"] = found.isolated_energies
    if config["energy_scale"] is None:
        settings["energy_scale"] = found.force_rms
    short_range_settings = {"species": config["short_range"]["species"] or found.species}
    if config["short_range"].get("n_neighbors", 0.0) is None:
        if found.average_neighbors is None:
            raise InputError(
                "model.short_range.n_neighbors=null: the neighbours of this data set were not counted; prepare it with "
                "cutoff=<that of the model>, or give a number"
            )
        short_range_settings["n_neighbors"] = max(1.0, found.average_neighbors)
    short_range = instantiate(config["short_range"], **short_range_settings)
    long_range = instantiate(config["long_range"]) if config["long_range"]["_target_"] else None
    config = {name: value for name, value in config.items() if name != "initial_charges"}  # see training.initial_values
    return instantiate(config, short_range=short_range, long_range=long_range, _convert_="all", **settings)
