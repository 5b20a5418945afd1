"""Neighbour lists of whole batches on the device that trains, for where worker processes cannot keep up."""

import torch
from torch import Tensor
from torch_geometric.data import Batch

from sognet.extras import require

SHORTEST_LATTICE_VECTOR = 1e-6  # Å; what is shorter stands for a direction without one


def add_edges(batch: Batch, cutoff: float) -> Batch:
    """The batch with `edge_index` (2,E), sorted by centre, and `cell_shift` (E,3): the edges of build_graph.

    Found by nvalchemi-toolkit-ops for all structures together, on the device of the batch.

    Parameters
    ----------
    batch : graphs without edges; `pos` in double precision, so that both ways agree on pairs near the cutoff.
    cutoff : Å.

    Raises
    ------
    InputError : nvalchemi-toolkit-ops is not installed.
    """
    require("nvalchemiops", "neighbors")
    from nvalchemiops.torch.neighbors import NeighborOverflowError, neighbor_list

    geometry = {
        "cell": with_all_lattice_vectors(batch.cell),
        "pbc": batch.pbc,
        "batch_idx": batch.batch.int(),
        "batch_ptr": batch.ptr.int(),
    }
    room = {}  # for the neighbours of an atom: at first what is usual
    while True:
        try:
            pairs, _, shift = neighbor_list(batch.pos, cutoff, return_neighbor_list=True, **geometry, **room)
            break
        except NeighborOverflowError as error:
            room = {"max_neighbors": error.num_neighbors}
    centre, order = pairs[0].long().sort(stable=True)
    batch.edge_index = torch.stack([pairs[1].long()[order], centre])
    batch.cell_shift = shift.long()[order]
    return batch


def with_all_lattice_vectors(cells: Tensor) -> Tensor:
    """Cells (B,3,3) with unit vectors, at right angles to the others, in directions that have no lattice vector."""
    missing = cells.norm(dim=2) < SHORTEST_LATTICE_VECTOR  # (B, 3)
    if not missing.any():
        return cells
    cells = cells.clone()
    for i in missing.any(1).nonzero().flatten().tolist():
        present = cells[i][~missing[i]]
        cells[i][missing[i]] = torch.linalg.svd(present).Vh[len(present) :]
    return cells
