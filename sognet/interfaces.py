"""What a model is put together from: a short-range model and a long-range layer, each any module with these methods.

A short-range model maps a graph to features of its atoms and may bring atomic energies of its own; a long-range layer
maps latent variables and positions to an energy. Nothing has to inherit from here. A module whose constructor takes
plain values, and keeps each as an attribute of the argument's name, can be saved and loaded.
"""

from typing import Any, NamedTuple, Protocol

from torch import Tensor
from torch_geometric.data import Data


class ShortRangeOutput(NamedTuple):
    """Features (N, n_features), invariant and differentiable in positions and cell, and atomic energies (N,) in eV
    where the model brings its own.
    """

    features: Tensor
    energy: Tensor | None = None


class ShortRange(Protocol):
    """Short-range model: `sognet.short_range`, or a module of one's own.

    Attributes
    ----------
    species : chemical symbols that it knows.
    cutoff : distance in Å within which its graphs hold all neighbours.
    n_features : number of features of an atom.
    """

    species: list[str]
    cutoff: float
    n_features: int

    def __call__(self, graph: Data) -> Tensor | ShortRangeOutput:
        """Features (N, n_features), or a ShortRangeOutput. A model that has `plan` takes `plan=None` as well.

        An edge of the graph is pos[neighbour] + cell_shift·cell − pos[centre], with neighbours in the first and
        centres in the second row of `edge_index` (see sognet.data.build_graph). A batch of structures has `batch`.
        """
        ...

    def plan(self, graph: Data) -> Any:
        """What depends on edges and elements alone, in a dataclass of tensors; optional."""
        ...


class Plan(Protocol):
    """What a long-range layer computes once for given cells, numbers of atoms and periodicity."""

    def covers(self, positions: Tensor) -> bool:
        """Whether it still holds at other positions (N, 3) of the same atoms in the same cells."""
        ...


class LongRange(Protocol):
    """Long-range layer: `sognet.long_range.FourierConvolution`, or a module of one's own.

    Only `forward` is required. `plan`, `regularization` and `diagnostics` are used where a layer has them. A layer with
    an attribute `n_species`, the number of species of the short-range model, gets latents (N, P·n_species) that are
    zero but in the columns p·n_species + s of the atom's species s.
    """

    def __call__(
        self,
        latent: Tensor,
        positions: Tensor,
        cell: Tensor,
        pbc: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        """Energies (B,) in eV of latents (N, P) at positions (N, 3) in cells (B, 3, 3), with periodicity (B, 3) and
        the structure of each atom (N,). A layer that has `plan` takes `plan=None` as well.
        """
        ...

    def plan(
        self, cell: Tensor, pbc: Tensor | None = None, batch: Tensor | None = None, positions: Tensor | None = None
    ) -> Plan:
        """Plan for these cells, numbers of atoms and periodicity; optional."""
        ...

    def regularization(self) -> dict[str, Tensor]:
        """Terms of the loss by name, scalars; optional. `loss.kernel` weighs the term `kernel`, and
        `loss.regularization={name: weight}` any other.
        """
        ...

    def diagnostics(self, **context: Any) -> dict[str, float]:
        """Numbers by name that are logged once an epoch and reported at the end; optional.

        Parameters
        ----------
        context : `cutoff` of the short-range model and typical `box_length` of the data, both in Å, whether they
            are `periodic`, and what later versions add.
        """
        ...
