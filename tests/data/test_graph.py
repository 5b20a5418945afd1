"""Periodic graphs against a brute-force search over images."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list
from scipy.spatial.transform import Rotation
from structures import graph_of, labelled_atoms, random_atoms

from sognet.data import Keys, Structure, build_graph
from sognet.short_range.edges import edge_vectors


@pytest.mark.parametrize("cutoff", [2.5, 6.0, 11.0])
@pytest.mark.parametrize("pbc", [True, False, [True, True, False]])
def test_edges_are_those_of_ase(cutoff, pbc):
    atoms = random_atoms(pbc=pbc)
    graph = graph_of(atoms, cutoff)
    vectors = edge_vectors(graph)
    i, j, expected = neighbor_list("ijD", atoms, cutoff)
    ours = np.column_stack([graph.edge_index[1], graph.edge_index[0], vectors.round(decimals=6)])
    theirs = np.column_stack([i, j, expected.round(6)])
    assert len(ours) == len(theirs)
    ours, theirs = (a[np.lexsort(a.T[::-1])] for a in (ours + 0.0, theirs + 0.0))
    np.testing.assert_allclose(ours, theirs, atol=3e-6)


def test_edges_are_sorted_by_centre():
    centre = graph_of(random_atoms(), 5.0).edge_index[1]
    assert bool((centre[1:] >= centre[:-1]).all())


def test_isolated_atom_has_no_edges():
    graph = graph_of(Atoms("Na", positions=[[0.0, 0.0, 0.0]]), 5.0)
    assert graph.edge_index.shape == (2, 0)
    assert graph.cell_shift.shape == (0, 3)
    assert graph.pos.dtype == torch.float64


def test_stress_labels_are_those_of_the_periodic_directions():
    """In any orientation of the plane; a cluster and a cell without volume have none."""
    turn = Rotation.random(random_state=0).as_matrix()
    plain, atoms = labelled_atoms(), labelled_atoms()
    in_plane = np.array([[0.3, 0.1, 0.0], [0.1, -0.2, 0.0], [0.0, 0.0, 0.0]])
    atoms.info["stress"] = turn.T @ (in_plane + np.diag([0, 0, 0.7])) @ turn
    atoms.set_cell(plain.cell.array @ turn, scale_atoms=True)
    atoms.pbc = True, True, False
    graph = build_graph(Structure.from_atoms(atoms, Keys(), "slab"), 4.0)
    np.testing.assert_allclose(graph.stress[0], turn.T @ in_plane @ turn, atol=1e-12)
    atoms.cell[2] = 0
    assert "stress" not in build_graph(Structure.from_atoms(atoms, Keys(), "flat slab"), 4.0)
    atoms.pbc = False
    assert "stress" not in build_graph(Structure.from_atoms(atoms, Keys(), "cluster"), 4.0)


@pytest.mark.parametrize("pbc", [True, [True, False, True]])
def test_atoms_of_a_trajectory_without_wrapping_have_the_edges_of_their_images(pbc):
    """Hundreds of cells away single precision would have few digits left."""
    atoms = random_atoms(pbc=pbc)
    drift = np.random.default_rng(0).integers(-400, 400, size=(len(atoms), 3)) * atoms.pbc
    drift[0] = 0
    moved = atoms.copy()
    moved.positions += drift @ atoms.cell.array
    here, there = graph_of(atoms), graph_of(moved)
    assert there.pos.abs().max() < 200

    def edges(graph):
        neighbour, centre = graph.edge_index
        rows = np.column_stack([centre, neighbour, edge_vectors(graph).round(decimals=6)]) + 0.0
        return rows[np.lexsort(rows.T[::-1])]

    np.testing.assert_allclose(edges(there), edges(here), atol=2e-6)


def test_positions_stay_as_they_are_near_the_origin_and_in_large_cells():
    for cell in (np.eye(3) * 8.0, np.eye(3) * 400.0):
        atoms = random_atoms(cell=cell)
        atoms.positions -= 3.0
        np.testing.assert_array_equal(graph_of(atoms).pos.numpy(), atoms.positions)
