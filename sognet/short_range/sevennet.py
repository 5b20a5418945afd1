"""SevenNet as a short-range model: from scratch, or with the weights that the package sevenn brings or wrote.

Park, Kim, Hwang and Han, J. Chem. Theory Comput. 20, 4857 (2024).
"""

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ase.data import atomic_numbers, chemical_symbols
from torch import nn
from torch.nn.functional import one_hot
from torch_geometric.data import Data

from sognet.errors import InputError
from sognet.interfaces import ShortRangeOutput
from sognet.short_range.edges import SpeciesIndex, edge_vectors
from sognet.short_range.packages import one_source, plain, release, say_own_cutoff, without_code

PACKAGE = ("sevenn", "sevenn", "sevennet")

SETTINGS = (
    "channel", "irreps_manual", "lmax", "lmax_edge", "lmax_node", "is_parity", "num_convolution_layer", "radial_basis",
    "cutoff_function", "act_radial", "act_scalar", "act_gate", "weight_nn_hidden_neurons", "conv_denominator",
    "train_denominator", "train_shift_scale", "use_bias_in_linear", "readout_as_fcn", "readout_fcn_hidden_neurons",
    "readout_fcn_activation", "self_connection_type", "interaction_type", "_normalize_sph",
)  # fmt: skip
"""Settings of the architecture, with the names that they have in sevenn."""

OF_TRAINED_MODELS = (
    "shift", "scale", "use_modality", "_modal_map", "_number_of_modalities", "use_modal_node_embedding",
    "use_modal_self_inter_intro", "use_modal_self_inter_outro", "use_modal_output_block", "use_modal_wise_shift",
    "use_modal_wise_scale",
)  # fmt: skip
"""What else sevenn keeps of a trained model."""

NOT_USED = ("onehot_idx_to_onehot", "one_hot_modality", "reduce_total_enegy", "force_output")
"""Layers of sevenn whose work is done here: in the precision of the positions, and by atoms."""

READOUTS = ("reduce_input_to_hidden", "readout_FCN")
"""First layers of what turns features into energies."""


class SevenNet(nn.Module):
    """Energies of atoms as sevenn computes them, and the invariant features that they are linear functions of.

    Parameters
    ----------
    species : chemical symbols, in the order of the weights.
    cutoff : Å.
    settings : of the architecture, as sevenn names them; `configured` and `trained` complete them.
    modal : level of theory that counts in a model of several.
    package : release of sevenn that wrote the weights.

    Raises
    ------
    InputError : sevenn is not installed, or `modal` is none of the model's.
    """

    def __init__(
        self,
        species: Sequence[str],
        cutoff: float,
        settings: Mapping[str, Any],
        modal: str | None = None,
        package: str | None = None,
    ) -> None:
        super().__init__()
        self.package = release(*PACKAGE, package)
        self.species, self.cutoff, self.settings = list(species), float(cutoff), dict(settings)
        self.species_index = SpeciesIndex(self.species)
        self.modalities = list(self.settings.get("_modal_map") or ())
        if modal not in (self.modalities or [None]):
            raise InputError(f"model.short_range.modal must be one of {self.modalities or 'null'}, got {modal}")
        self.modal = modal
        layers = layers_of(_network(self.species, self.cutoff, self.settings))
        self.layers = nn.Sequential(OrderedDict(layers)).to(torch.get_default_dtype())
        last = layers[f"{self.settings['num_convolution_layer'] - 1}_equivariant_gate"]
        self.n_features = last.gate.irreps_out.dim

    def forward(self, graph: Data) -> ShortRangeOutput:
        """Features (N, n_features) and energies (N,) in eV of the atoms of a graph.

        Raises
        ------
        ValueError : an element that the model does not know (checked on the CPU).
        """
        vectors, index = edge_vectors(graph), self.species_index(graph.z)
        elements = one_hot(index, len(self.species)).to(vectors.dtype)
        data = {
            "edge_vec": vectors,
            "edge_index": graph.edge_index.flip(0),
            "atom_type": index,
            "x": elements,
            "node_attr": elements,
            "batch": graph.batch if "batch" in graph else torch.zeros_like(graph.z),
        }
        if self.modal is not None:
            number = self.modalities.index(self.modal)
            data["modal_type"] = torch.full((len(graph.cell),), number, device=index.device)
            data["modal_attr"] = one_hot(data["modal_type"], len(self.modalities)).to(vectors.dtype)
        for name, layer in self.layers.named_children():
            if name in READOUTS:
                features = data["x"]
            data = layer(data)
        return ShortRangeOutput(features, data["atomic_energy"][:, 0])


def configured(
    species: Sequence[str],
    cutoff: float = 5.0,
    pretrained: str | None = None,
    checkpoint: str | Path | None = None,
    modal: str | None = None,
    n_neighbors: float = 30.0,
    energy_scale: float = 1.0,
    **settings: Any,
) -> SevenNet:
    """SevenNet from scratch, or a trained one, which has species, cutoff and settings of its own.

    Parameters
    ----------
    species, cutoff : chemical symbols; Å.
    pretrained : trained model that sevenn knows by name: 7net-0, 7net-l3i5, ...
    checkpoint : or the file of one.
    modal : level of theory that counts in a model of several.
    n_neighbors : typical number of neighbours; `conv_denominator` says what it is for.
    energy_scale : eV, of the energies of atoms at the beginning: `scale` of sevenn.
    settings : of the architecture, as sevenn names them, where they are not its defaults.

    Raises
    ------
    InputError : sevenn is not installed, a setting that it does not have, or no such trained model.
    """
    release(*PACKAGE)
    if (source := one_source(pretrained, checkpoint)) is not None:
        model = trained(source, modal)
        say_own_cutoff(source, model.cutoff, cutoff)
        return model
    from sevenn import _const

    if unknown := sorted(set(settings) - set(SETTINGS)):
        raise InputError(f"sevenn has no setting {', '.join(unknown)} of a model; there are {', '.join(SETTINGS)}")
    defaults = _const.DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG
    settings = plain({name: defaults[name] for name in SETTINGS if name in defaults} | settings)
    denominators = {"avg_num_neigh": float(n_neighbors), "sqrt_avg_num_neigh": math.sqrt(n_neighbors)}
    settings["conv_denominator"] = denominators.get(settings["conv_denominator"], settings["conv_denominator"])
    return SevenNet(species, cutoff, settings | {"shift": 0.0, "scale": float(energy_scale)}, modal)


def trained(source: str | Path, modal: str | None = None) -> SevenNet:
    """Trained SevenNet, by the name that sevenn gives it or from a file, which is read without running code in it.

    Raises
    ------
    InputError : sevenn is not installed; no such model; a file that is not one.
    """
    release(*PACKAGE)
    from sevenn.util import load_checkpoint, pretrained_name_to_path

    path = Path(source)
    try:
        path = path if path.is_file() else Path(pretrained_name_to_path(str(source)))
    except ValueError:
        raise InputError(f"sevenn has no trained model {source}; 7net-0 and 7net-l3i5 come with it") from None
    with without_code(path) as copy:
        read = load_checkpoint(copy)
        network, config = read.build_model(), plain(read.config)
    species = [chemical_symbols[z] for z in sorted(config["_type_map"], key=config["_type_map"].get)]
    settings = {name: config[name] for name in (*SETTINGS, *OF_TRAINED_MODELS) if name in config}
    model = SevenNet(species, config["cutoff"], settings, modal)
    weights = nn.Sequential(OrderedDict(layers_of(network))).state_dict()
    model.layers.load_state_dict(weights)
    return model


def layers_of(network: nn.Module) -> dict[str, nn.Module]:
    """Layers of a model of sevenn that are used here, by name."""
    return {name: layer for name, layer in network.named_children() if name not in NOT_USED}


def _network(species: Sequence[str], cutoff: float, settings: Mapping[str, Any]) -> nn.Module:
    """Model of sevenn with untrained weights."""
    from sevenn.model_build import build_E3_equivariant_model

    numbers = [atomic_numbers[symbol] for symbol in species]
    of_species = {"_number_of_species": len(species), "_type_map": {z: i for i, z in enumerate(numbers)}}
    return build_E3_equivariant_model(plain(settings) | of_species | {"cutoff": cutoff})
