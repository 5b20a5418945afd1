"""MACE as a short-range model: from scratch, or with the weights of a model that the package mace-torch wrote.

Batatia, Kovács, Simm, Ortner and Csányi, NeurIPS 2022.
"""

import inspect
import os
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
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
from sognet.short_range.packages import one_source, plain, release, say_own_cutoff
from sognet.trust import is_trusted

PACKAGE = ("mace", "mace-torch", "mace")

USUAL = {
    "num_bessel": 8,
    "num_polynomial_cutoff": 5,
    "max_ell": 3,
    "interaction_cls": "RealAgnosticResidualInteractionBlock",
    "interaction_cls_first": "RealAgnosticResidualInteractionBlock",
    "num_interactions": 2,
    "hidden_irreps": "128x0e+128x1o",
    "MLP_irreps": "16x0e",
    "correlation": 3,
    "gate": "silu",
}
"""Settings that mace's model has no defaults for: those of its training command."""

CLASSES = {"interaction_cls": "interaction_classes", "interaction_cls_first": "interaction_classes"} | {
    "readout_cls": "readout_classes",
    "gate": "gate_dict",
}
"""Settings that are classes or functions, which settings name, and the tables in which mace has them."""

IRREPS = ("hidden_irreps", "MLP_irreps", "edge_irreps")

OF_THE_SPECIES = ("r_max", "num_elements", "atomic_numbers")

FORCED = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
"""Environment variable that mace sets when it is imported, with which torch.load runs code in files by default."""


class MACE(nn.Module):
    """Energies of atoms as mace computes them, with those of the elements, and the invariant features of every layer.

    Parameters
    ----------
    species : chemical symbols, in the order of the weights.
    cutoff : Å, `r_max` of mace.
    settings : arguments of mace's ScaleShiftMACE; classes, functions and irreps by name.
    head : place of the head that counts in a model of several.
    package : release of mace-torch that wrote the weights.

    Raises
    ------
    InputError : mace-torch is not installed.
    """

    def __init__(
        self,
        species: Sequence[str],
        cutoff: float,
        settings: Mapping[str, Any],
        head: int = 0,
        package: str | None = None,
    ) -> None:
        super().__init__()
        self.package = release(*PACKAGE, package)
        self.species, self.cutoff, self.settings, self.head = list(species), float(cutoff), dict(settings), head
        self.species_index = SpeciesIndex(self.species)
        self.network = _network(self.species, self.cutoff, self.settings).to(torch.get_default_dtype())
        irreps = [product.linear.irreps_out for product in self.network.products]
        starts = torch.tensor([0, *(one.dim for one in irreps)]).cumsum(0).tolist()
        scalars = [
            torch.arange(start + part.start, start + part.stop)
            for start, one in zip(starts, irreps, strict=False)
            for (_, irrep), part in zip(one, one.slices(), strict=True)
            if irrep.is_scalar()
        ]
        self.register_buffer("scalars", torch.cat(scalars), persistent=False)
        self.n_features = len(self.scalars)

    def forward(self, graph: Data) -> ShortRangeOutput:
        """Features (N, n_features) and energies (N,) in eV of the atoms of a graph.

        Raises
        ------
        ValueError : an element that the model does not know (checked on the CPU).
        """
        neighbour, centre = graph.edge_index
        positions = graph.pos.clone()
        shifts = positions[neighbour] - positions[centre] - edge_vectors(graph)
        batch = graph.batch if "batch" in graph else torch.zeros_like(graph.z)
        counts = batch.bincount(minlength=len(graph.cell))
        data = {
            "positions": positions,
            "cell": graph.cell.flatten(0, 1),
            "edge_index": graph.edge_index,
            "shifts": shifts,
            "node_attrs": one_hot(self.species_index(graph.z), len(self.species)).to(positions.dtype),
            "batch": batch,
            "ptr": torch.cat([counts.new_zeros(1), counts.cumsum(0)]),
            "head": torch.full_like(counts, self.head),
        }
        out = self.network(data, compute_force=False)
        return ShortRangeOutput(out["node_feats"].index_select(1, self.scalars), out["node_energy"])


def configured(
    species: Sequence[str],
    cutoff: float = 5.0,
    pretrained: str | None = None,
    checkpoint: str | Path | None = None,
    head: int = 0,
    n_neighbors: float = 30.0,
    energy_scale: float = 1.0,
    trust: Iterable[str] = (),
    **settings: Any,
) -> MACE:
    """MACE from scratch, or a trained one, which has elements, cutoff and settings of its own.

    Parameters
    ----------
    species, cutoff : chemical symbols; Å.
    pretrained : trained model that mace downloads: small, medium, large, medium-mpa-0, ...
    checkpoint : or the file of one; a pickled model, whose code runs when it is read.
    head : place of the head that counts in a model of several.
    n_neighbors : typical number of neighbours, `avg_num_neighbors`.
    energy_scale : eV, of the energies of atoms at the beginning, `atomic_inter_scale`.
    trust : must hold "mace" where a trained model is read.
    settings : arguments of mace's ScaleShiftMACE, where they are not the defaults of its training command.

    Raises
    ------
    InputError : mace-torch is not installed, a setting that it does not have, no such trained model, or a file that is
        not trusted.
    """
    release(*PACKAGE)
    if (source := one_source(pretrained, checkpoint)) is not None:
        model = trained(source, head, trust)
        say_own_cutoff(source, model.cutoff, cutoff)
        return model
    modules = _mace("mace.modules")
    known = {*inspect.signature(modules.ScaleShiftMACE).parameters, *inspect.signature(modules.MACE).parameters}
    known -= {"kwargs", "atomic_energies", "atomic_inter_shift", *OF_THE_SPECIES}
    if unknown := sorted(set(settings) - known):
        raise InputError(f"mace has no setting {', '.join(unknown)} of a model; there are {', '.join(sorted(known))}")
    of_the_data = {
        "atomic_energies": [0.0] * len(species),
        "avg_num_neighbors": float(n_neighbors),
        "atomic_inter_scale": float(energy_scale),
        "atomic_inter_shift": 0.0,
    }
    return MACE(species, cutoff, USUAL | of_the_data | plain(settings), head)


def trained(source: str | Path, head: int = 0, trust: Iterable[str] = ()) -> MACE:
    """Trained MACE of a file of mace, or by the name under which mace downloads it.

    Raises
    ------
    InputError : mace-torch is not installed; no such model; a pickled file that is not trusted.
    """
    release(*PACKAGE)
    path = Path(source)
    if not path.is_file():
        path = _downloaded(str(source))
    if not is_trusted("mace", trust):
        raise InputError(
            f"{path}: mace pickles its models, and reading one runs its code. If you trust its author, add "
            "trust=[mace]; the checkpoint of the training then holds plain values and weights only"
        )
    extract = _mace("mace.tools.scripts_utils").extract_config_mace_model
    network = torch.load(path, map_location="cpu", weights_only=False)
    config = extract(network)
    if "error" in config:
        raise InputError(f"{path}: {config['error']}")
    species = [chemical_symbols[z] for z in network.atomic_numbers.tolist()]
    settings = {key: _named(key, value) for key, value in config.items() if key not in OF_THE_SPECIES}
    model = MACE(species, config["r_max"], settings, head)
    model.network.to(network.r_max.dtype).load_state_dict(network.state_dict())
    model.network.to(torch.get_default_dtype())
    return model


def _downloaded(name: str) -> Path:
    """File of a model that mace downloads."""
    try:
        return Path(_mace("mace.calculators.foundations_models").download_mace_mp_checkpoint(name))
    except Exception as error:
        raise InputError(f"mace has no trained model {name}, or it cannot be downloaded ({error})") from None


def _network(species: Sequence[str], cutoff: float, settings: Mapping[str, Any]) -> nn.Module:
    """ScaleShiftMACE with untrained weights."""
    modules, irreps = _mace("mace.modules"), _mace("e3nn.o3").Irreps
    arguments = dict(settings)
    for key, value in settings.items():
        if key in CLASSES:
            arguments[key] = getattr(modules, CLASSES[key])[str(value)]
        elif key in IRREPS and value is not None:
            arguments[key] = irreps(value)
    arguments["atomic_energies"] = torch.tensor(settings["atomic_energies"], dtype=torch.float64).numpy()
    numbers = [atomic_numbers[symbol] for symbol in species]
    return modules.ScaleShiftMACE(r_max=cutoff, num_elements=len(numbers), atomic_numbers=numbers, **arguments)


def _named(key: str, value: Any) -> Any:
    """Setting of mace as a plain value."""
    if key in CLASSES:
        table = getattr(_mace("mace.modules"), CLASSES[key])
        return next(name for name, entry in table.items() if entry is value)
    return str(value) if key in IRREPS and value is not None else plain(value)


def _mace(module: str) -> Any:
    """Module of mace or e3nn. Importing mace must not change how torch.load reads files elsewhere in the process."""
    before = os.environ.get(FORCED)
    try:
        import_module("mace")
        os.environ.pop(FORCED, None)
        with torch.serialization.safe_globals([slice]):  # in the constants of e3nn 0.4
            import_module("e3nn.o3")
            return import_module(module)
    finally:
        os.environ.pop(FORCED, None)
        if before is not None:
            os.environ[FORCED] = before
