"""CHGNet as a short-range model: from scratch, or with the weights that the package chgnet brings or wrote.

Deng et al., Nature Machine Intelligence 5, 1031 (2023).
"""

import contextlib
import inspect
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ase.data import chemical_symbols
from torch import Tensor, nn
from torch_geometric.data import Data

from sognet.errors import InputError
from sognet.interfaces import ShortRangeOutput
from sognet.short_range.edges import SpeciesIndex, edge_vectors
from sognet.short_range.packages import one_source, plain, release, say_own_cutoff, without_code

PACKAGE = ("chgnet", "chgnet", "chgnet")

PRETRAINED = ("0.3.0", "0.2.0", "r2scan")
"""Trained models that come with chgnet."""

N_ELEMENTS = 94
"""Elements that CHGNet has embeddings of, from hydrogen."""


class CHGNet(nn.Module):
    """Energies of atoms as chgnet computes them, with those of the elements, and the features before its last layer.

    Parameters
    ----------
    species : chemical symbols.
    cutoff : Å, `atom_graph_cutoff` of chgnet.
    settings : arguments of chgnet's model.
    package : release of chgnet that wrote the weights.

    Raises
    ------
    InputError : chgnet is not installed; a model that has no energies of atoms (`mlp_first=False`).
    """

    def __init__(
        self, species: Sequence[str], cutoff: float, settings: Mapping[str, Any], package: str | None = None
    ) -> None:
        super().__init__()
        self.package = release(*PACKAGE, package)
        self.species, self.cutoff, self.settings = list(species), float(cutoff), dict(settings)
        self.species_index = SpeciesIndex(self.species)
        if not self.settings.get("mlp_first", True):
            raise InputError("a CHGNet with mlp_first=False has no energies of atoms")
        from chgnet.model import CHGNet as Network

        with contextlib.redirect_stdout(io.StringIO()):  # it prints its size
            self.network = Network(**self.settings, atom_graph_cutoff=self.cutoff).to(torch.get_default_dtype())
        for unused in (self.network.site_wise, self.network.angle_layers[-1]):  # magnetic moments; angles of no layer
            if unused is not None:
                unused.requires_grad_(False)
        self.n_features = self.network.atom_fea_dim

    def forward(self, graph: Data) -> ShortRangeOutput:
        """Features (N, n_features) and energies (N,) in eV of the atoms of a graph.

        Raises
        ------
        ValueError : an element that the model does not know (checked on the CPU).
        """
        self.species_index(graph.z)
        out = self.network._compute(self._graph(graph), return_site_energies=True, return_atom_feas=True)
        energy = torch.cat(out["site_energies"])
        if self.network.composition_model is not None:
            energy = energy + self.network.composition_model.fc.weight[0].index_select(0, graph.z - 1)
        return ShortRangeOutput(torch.cat(out["atom_fea"]), energy)

    def _graph(self, graph: Data) -> Any:
        """The graph as chgnet wants it: bonds without direction, and angles between short bonds of an atom."""
        from chgnet.model.model import BatchedGraph

        neighbour, centre = graph.edge_index
        vectors = edge_vectors(graph)
        lengths = vectors.square().sum(1).sqrt()
        bond, edge = bonds_of(graph)
        short = lengths.detach() < self.settings.get("bond_graph_cutoff", 3)
        first, second = pairs_of(short.nonzero()[:, 0], centre)
        unit = vectors / lengths[:, None]
        radial = self.network.bond_basis_expansion
        return BatchedGraph(
            atomic_numbers=graph.z,
            bond_bases_ag=radial.rbf_expansion_ag(lengths[edge]),
            bond_bases_bg=radial.rbf_expansion_bg(lengths[edge]),
            angle_bases=self.network.angle_basis_expansion(unit[first], unit[second]),
            batched_atom_graph=torch.stack([centre, neighbour], 1),
            batched_bond_graph=torch.stack([centre[first], bond[first], bond[second]], 1),
            atom_owners=graph.batch if "batch" in graph else torch.zeros_like(graph.z),
            directed2undirected=bond,
            atom_positions=[],
            strains=[],
            volumes=[],
        )


def configured(
    species: Sequence[str],
    cutoff: float = 6.0,
    pretrained: str | None = None,
    checkpoint: str | Path | None = None,
    **settings: Any,
) -> CHGNet:
    """CHGNet from scratch, or a trained one, which has elements, cutoff and settings of its own.

    Parameters
    ----------
    species, cutoff : chemical symbols; Å.
    pretrained : trained model that comes with chgnet: 0.3.0, 0.2.0, r2scan.
    checkpoint : or the file of one.
    settings : arguments of chgnet's model, where they are not its defaults.

    Raises
    ------
    InputError : chgnet is not installed, a setting that it does not have, or no such trained model.
    """
    release(*PACKAGE)
    if (source := one_source(pretrained, checkpoint)) is not None:
        model = trained(source)
        say_own_cutoff(source, model.cutoff, cutoff)
        return model
    from chgnet.model import CHGNet as Network

    known = set(inspect.signature(Network).parameters) - {"kwargs", "atom_graph_cutoff", "composition_model", "version"}
    if unknown := sorted(set(settings) - known):
        raise InputError(f"chgnet has no setting {', '.join(unknown)} of a model; there are {', '.join(sorted(known))}")
    return CHGNet(species, cutoff, {"composition_model": None, **plain(settings)})


def trained(source: str | Path) -> CHGNet:
    """Trained CHGNet, by the name that chgnet gives it or from a file, which is read without running code in it.

    Raises
    ------
    InputError : chgnet is not installed; no such model; a file that is not one.
    """
    release(*PACKAGE)
    from chgnet.model import CHGNet as Network

    with contextlib.redirect_stdout(io.StringIO()):
        if Path(source).is_file():
            with without_code(source) as copy:
                network = Network.from_file(copy)
        elif source in PRETRAINED:
            network = Network.load(model_name=source, use_device="cpu", verbose=False)
        else:
            raise InputError(f"chgnet has no trained model {source}; there are {', '.join(PRETRAINED)}")
    settings = {k: plain(v) for k, v in network.model_args.items() if k not in ("version", "atom_graph_cutoff")}
    model = CHGNet(chemical_symbols[1 : N_ELEMENTS + 1], network.model_args["atom_graph_cutoff"], settings)
    model.network.load_state_dict(network.state_dict())
    return model


def bonds_of(graph: Data) -> tuple[Tensor, Tensor]:
    """Bond of each edge (E,), which it shares with the edge back, and one of the edges of each bond (E/2,)."""
    there = torch.cat([graph.edge_index, graph.cell_shift.mT]).mT  # (E, 5)
    back = torch.cat([graph.edge_index.flip(0), -graph.cell_shift.mT]).mT
    differs = (there != back).int().argmax(1, keepdim=True)  # first place in which they do
    swapped = there.gather(1, differs) > back.gather(1, differs)
    bonds, bond = torch.where(swapped, back, there).unique(dim=0, return_inverse=True)
    edges = torch.arange(len(bond), device=bond.device)
    return bond, edges.new_empty(len(bonds)).scatter(0, bond, edges)


def pairs_of(edges: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    """All pairs of two different ones of these edges (n,), sorted by centre, that have the same centre."""
    counts = torch.bincount(centre[edges], minlength=1)
    first = (counts.cumsum(0) - counts)[centre[edges]]  # (n,), place of the first edge of the same atom
    partners = counts[centre[edges]]
    one = torch.repeat_interleave(torch.arange(len(edges), device=edges.device), partners)
    place = torch.arange(len(one), device=edges.device) - (partners.cumsum(0) - partners)[one]
    other = first[one] + place
    keep = one != other
    return edges[one[keep]], edges[other[keep]]
