"""NequIP as a short-range model, from scratch: the architecture of the package nequip.

Batzner et al., Nature Communications 13, 2453 (2022).
"""

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

import torch
from lightning.pytorch.utilities.seed import isolate_rng
from torch import nn
from torch_geometric.data import Data

from sognet.errors import InputError
from sognet.interfaces import ShortRangeOutput
from sognet.short_range.edges import SpeciesIndex, edge_vectors
from sognet.short_range.packages import plain, release

PACKAGE = ("nequip", "nequip", "nequip")

PRECISION = ("_output_dtype", "model_dtype")
"""Attributes in which modules of nequip keep the precision that they were built for."""

OF_THE_MODEL = ("kwargs", "r_max", "type_names", "seed", "model_dtype", "do_derivatives")


class NequIP(nn.Module):
    """Energies of atoms as nequip computes them, and the scalar features of its last layer.

    Parameters
    ----------
    species : chemical symbols, `type_names` of nequip.
    cutoff : Å, `r_max` of nequip.
    settings : arguments of nequip's NequIPGNNModel.
    package : release of nequip that wrote the weights.

    Raises
    ------
    InputError : nequip is not installed.
    """

    def __init__(
        self, species: Sequence[str], cutoff: float, settings: Mapping[str, Any], package: str | None = None
    ) -> None:
        super().__init__()
        self.package = release(*PACKAGE, package)
        self.species, self.cutoff, self.settings = list(species), float(cutoff), dict(settings)
        self.species_index = SpeciesIndex(self.species)
        dtype, seed = torch.get_default_dtype(), int(torch.randint(2**31, ()))
        with _undisturbed():
            from nequip.model import NequIPGNNModel

            fixed = {"r_max": self.cutoff, "type_names": self.species, "do_derivatives": False}
            self.network = NequIPGNNModel(
                **self.settings, **fixed, seed=seed, model_dtype=str(dtype).removeprefix("torch.")
            )
        self.to(dtype)
        self.n_features = self.network.model.irreps_out["node_features"].dim

    def _apply(self, fn: Callable, recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        dtype = next(self.parameters()).dtype
        for module in self.network.modules():
            for name in PRECISION:
                if hasattr(module, name):
                    setattr(module, name, dtype)
        return self

    def forward(self, graph: Data) -> ShortRangeOutput:
        """Features (N, n_features) and energies (N,) in eV of the atoms of a graph.

        Raises
        ------
        ValueError : an element that the model does not know (checked on the CPU).
        """
        batch = graph.batch if "batch" in graph else torch.zeros_like(graph.z)
        data = {
            "pos": graph.pos,
            "atom_types": self.species_index(graph.z),
            "edge_index": graph.edge_index.flip(0),
            "edge_vectors": edge_vectors(graph),
            "batch": batch,
            "num_atoms": batch.bincount(minlength=len(graph.cell)),
        }
        out = self.network(data)
        return ShortRangeOutput(out["node_features"], out["atomic_energy"][:, 0])


def configured(
    species: Sequence[str],
    cutoff: float = 5.0,
    n_neighbors: float = 30.0,
    energy_scale: float = 1.0,
    **settings: Any,
) -> NequIP:
    """NequIP from scratch.

    Parameters
    ----------
    species, cutoff : chemical symbols; Å.
    n_neighbors : typical number of neighbours, `avg_num_neighbors`.
    energy_scale : eV, of the energies of atoms at the beginning, `per_type_energy_scales`.
    settings : arguments of nequip's NequIPGNNModel, where they are not its defaults.

    Raises
    ------
    InputError : nequip is not installed, or a setting that it does not have.
    """
    release(*PACKAGE)
    with _undisturbed():
        from nequip.model import FullNequIPGNNModel, NequIPGNNModel

    functions = (NequIPGNNModel, FullNequIPGNNModel)
    known = {name for function in functions for name in inspect.signature(function).parameters} - set(OF_THE_MODEL)
    if unknown := sorted(set(settings) - known):
        raise InputError(f"nequip has no setting {', '.join(unknown)} of a model; there are {', '.join(sorted(known))}")
    of_the_data = {
        "avg_num_neighbors": float(n_neighbors),
        "per_type_energy_scales": float(energy_scale),
        "per_type_energy_shifts": 0.0,
    }
    return NequIP(species, cutoff, of_the_data | plain(settings))


@contextmanager
def _undisturbed():
    """Set the global state that nequip wants, and put back what is not its own: seeds and default precision."""
    dtype, seed = torch.get_default_dtype(), os.environ.get("PL_GLOBAL_SEED")
    try:
        with isolate_rng():
            from nequip.utils.global_state import set_global_state

            set_global_state()
            yield
    finally:
        torch.set_default_dtype(dtype)
        os.environ.pop("PL_GLOBAL_SEED", None)
        if seed is not None:
            os.environ["PL_GLOBAL_SEED"] = seed
