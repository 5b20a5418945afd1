"""The Deep Potential descriptor with a core and a shell ([SOG-Net], S2; [DeepPot-SE] Zhang et al., NeurIPS 2018).

Core, within r_c:  D_c = (1/N_c²) Gᵀ R Rᵀ G^<  with  R_ij = soft(r)·[1/r, x/r², y/r², z/r²] and the embedding
G_ij = g(soft(r)/r), of which G^< are the first columns.
Shell, within r_s: D_s = (1/N_s) Σ_j soft(r) h(soft(r)). The factor soft(r) before the embedding h makes a neighbour
enter smoothly; without it every neighbour at the cutoff would contribute the constant h(0).
Embedding networks depend on the species of the centre and of the neighbour.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from sognet.nn.cutoff import smooth_step
from sognet.short_range.edges import EdgeLayout, SpeciesIndex, edge_vectors
from sognet.short_range.pair_network import PairEmbedding


class DeepPotential(nn.Module):
    """Invariant descriptor of the atoms around each atom.

    Parameters
    ----------
    species : chemical symbols the model knows.
    cutoff : distance within which atoms are neighbours, Å.
    core_cutoff, shell_cutoff : r_c and r_s, Å; by default the cutoff.
    core_onset, shell_onset : fraction of r_c and r_s at which soft(r) starts to fall.
    core_embedding, shell_embedding : widths of the embedding networks; empty for no core or no shell.
    n_axis : columns of G^<, at most core_embedding[-1].
    n_neighbors : N_c = N_s, a typical number of neighbours that scales the features.
    activation : "tanh" or "silu".

    Raises
    ------
    ValueError : no core and no shell, a cutoff or onset out of range, or `n_axis` larger than the embedding.
    """

    def __init__(
        self,
        species: list[str],
        cutoff: float,
        core_cutoff: float | None = None,
        core_onset: float = 0.75,
        core_embedding: Sequence[int] = (20, 40, 80),
        n_axis: int = 16,
        shell_cutoff: float | None = None,
        shell_onset: float = 0.75,
        shell_embedding: Sequence[int] = (20, 40, 80),
        n_neighbors: float = 20.0,
        activation: str = "tanh",
    ) -> None:
        super().__init__()
        self.species = list(species)
        self.cutoff = cutoff
        self.core_cutoff = core_cutoff or cutoff
        self.core_onset = core_onset
        self.core_embedding = tuple(core_embedding)
        self.n_axis = n_axis
        self.shell_cutoff = shell_cutoff or cutoff
        self.shell_onset = shell_onset
        self.shell_embedding = tuple(shell_embedding)
        self.n_neighbors = n_neighbors
        self.activation = activation
        self._check()
        self.species_index = SpeciesIndex(self.species)
        n_pairs = len(self.species) ** 2
        core, shell = self.core_embedding, self.shell_embedding
        self.core = PairEmbedding(n_pairs, core, activation) if core else None
        self.shell = PairEmbedding(n_pairs, shell, activation) if shell else None

    def _check(self) -> None:
        if not self.core_embedding and not self.shell_embedding:
            raise ValueError("a Deep Potential descriptor needs a core (core_embedding) or a shell (shell_embedding)")
        if self.core_embedding and not 0 < self.n_axis <= self.core_embedding[-1]:
            raise ValueError(f"n_axis must lie within 1 and the core's last width {self.core_embedding[-1]}")
        if not (0 < self.core_onset < 1 and 0 < self.shell_onset < 1 and self.n_neighbors > 0):
            raise ValueError("onsets must lie between 0 and 1 and n_neighbors must be positive")
        if not 0 < max(self.core_cutoff, self.shell_cutoff) <= self.cutoff:
            raise ValueError("core_cutoff and shell_cutoff must not exceed the cutoff, which must be positive")

    @property
    def n_features(self) -> int:
        """Features per atom."""
        core = self.core_embedding[-1] * self.n_axis if self.core_embedding else 0
        return core + (self.shell_embedding[-1] if self.shell_embedding else 0)

    def plan(self, graph: Data) -> EdgeLayout:
        """What a forward pass needs of the edges and elements of a graph."""
        return EdgeLayout.of(graph, self.species_index)

    def forward(self, graph: Data, plan: EdgeLayout | None = None) -> Tensor:
        """Descriptor of each atom, (N, n_features), dimensionless; the plan is by default made here."""
        plan = plan or self.plan(graph)
        species, slots = plan.species, plan.slots
        if graph.edge_index.shape[1] == 0:
            return graph.pos.new_zeros(len(species), self.n_features)
        neighbour, centre = graph.edge_index
        pair = species.index_select(0, centre) * len(self.species) + species.index_select(0, neighbour)
        pair = pair.index_select(0, slots.flatten())
        vectors = edge_vectors(graph).index_select(0, slots.flatten())
        filled = plan.filled.to(vectors.dtype)
        distance = vectors.square().sum(1).sqrt()
        features = []
        if self.core is not None:
            features.append(self._core(vectors, distance, pair, filled))
        if self.shell is not None:
            features.append(self._shell(distance, pair, filled))
        return torch.cat(features, dim=1) if len(features) > 1 else features[0]

    def _core(self, vectors: Tensor, distance: Tensor, pair: Tensor, filled: Tensor) -> Tensor:
        decay = smooth_step(distance, self.core_onset * self.core_cutoff, self.core_cutoff) / distance
        direction = torch.cat([torch.ones_like(distance)[:, None], vectors / distance[:, None]], dim=1)
        environment = (decay * filled.flatten())[:, None] * direction
        environment = environment.reshape(*filled.shape, 4)  # (N, n_max, 4)
        embedded = self.core(decay, pair).reshape(*filled.shape, -1)  # (N, n_max, M)
        summed = torch.bmm(environment.mT, embedded) / self.n_neighbors  # (N, 4, M)
        return torch.bmm(summed.mT, summed[:, :, : self.n_axis]).flatten(1)

    def _shell(self, distance: Tensor, pair: Tensor, filled: Tensor) -> Tensor:
        soft = smooth_step(distance, self.shell_onset * self.shell_cutoff, self.shell_cutoff)
        embedded = self.shell(soft, pair).reshape(*filled.shape, -1)  # (N, n_max, M_s)
        weight = (soft * filled.flatten()).reshape(len(filled), 1, -1)
        return torch.bmm(weight, embedded)[:, 0] / self.n_neighbors
