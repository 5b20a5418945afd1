"""Neighbour lists of whole batches: the same edges as graph by graph, and the same training."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ase import Atoms
from structures import TRICLINIC, graph_of, labelled_atoms, random_atoms
from torch_geometric.data import Batch

from sognet.data import Keys, Splits, Structure, StructureDataModule
from sognet.data.loading.device_neighbors import add_edges
from sognet.errors import InputError


def far_away(atoms: Atoms) -> Atoms:
    """The same structure with atoms in other images of the cell."""
    atoms.positions += np.random.default_rng(0).integers(-2, 3, (len(atoms), 3)) @ atoms.cell.array
    return atoms


STRUCTURES = {
    "triclinic": random_atoms(20),
    "outside of its cell": far_away(random_atoms(20)),
    "left-handed": random_atoms(20, cell=-TRICLINIC),
    "smaller than the cutoff": random_atoms(5, cell=0.4 * TRICLINIC),
    "an atom and its images": Atoms("Na", cell=[3.0, 3.5, 4.0], pbc=True),
    "molecule": random_atoms(30, pbc=False),
    "molecule without a cell": Atoms("NaCl", positions=[[0, 0, 0], [0, 0, 2.4]]),
    "atom": Atoms("Na"),
    "slab": random_atoms(15, pbc=[True, True, False]),
    "slab without a third vector": Atoms(
        "Na2Cl", positions=[[0, 0, 0], [2, 0, 1], [8, 8, 2]], cell=[[5, 0, 0], [1, 5, 0], [0, 0, 0]], pbc=[1, 1, 0]
    ),
    "wire": Atoms("NaCl", positions=[[0, 0, 0], [0, 2, 0]], cell=[[0, 0, 0], [0, 3, 0.5], [0, 0, 0]], pbc=[0, 1, 0]),
}


def edges(batch: Batch) -> list[tuple[int, ...]]:
    return sorted(map(tuple, torch.cat([batch.edge_index.T, batch.cell_shift], dim=1).tolist()))


@pytest.mark.parametrize("names", [list(STRUCTURES), *([name] for name in STRUCTURES)], ids=lambda n: "-".join(n)[:20])
@pytest.mark.parametrize("cutoff", [4.0, 7.5])
def test_the_edges_are_those_of_single_graphs(names, cutoff, device):
    pytest.importorskip("nvalchemiops")
    expected = Batch.from_data_list([graph_of(STRUCTURES[name], cutoff) for name in names])
    batch = expected.clone().to(device)
    del batch.edge_index, batch.cell_shift
    add_edges(batch, cutoff)
    assert edges(batch) == edges(expected)
    assert (batch.edge_index[1].diff() >= 0).all()
    assert (batch.edge_index.dtype, batch.cell_shift.dtype) == (torch.int64, torch.int64)


def test_batches_of_the_data_module_have_the_same_edges_either_way():
    """And the same plan by number of edges, which is counted on the CPU."""
    structures = [Structure.from_atoms(labelled_atoms(4 + 3 * i, seed=i), Keys(), f"{i}") for i in range(7)]
    batches = {}
    for place in ("workers", "device"):
        module = StructureDataModule(
            Splits("test", structures, [], []), 4.0, batch_size=None, max_edges=450, neighbor_lists=place
        )
        batches[place] = [module.on_after_batch_transfer(batch, 0) for batch in module.train_dataloader()]
    assert len(batches["workers"]) > 1
    for by_workers, by_device in zip(*batches.values(), strict=True):
        assert by_workers.id.tolist() == by_device.id.tolist()
        assert edges(by_workers) == edges(by_device)


def test_another_place_is_refused():
    with pytest.raises(InputError, match=r"neighbor_lists must be workers or device, got 'gpu'"):
        StructureDataModule(SimpleNamespace(), 4.0, neighbor_lists="gpu")
