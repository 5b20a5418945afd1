"""Calculators that reuse pairs and plans from step to step give what the model gives for a new graph."""

import numpy as np
import pytest
import torch
from ase import Atoms
from own_models import Radial, Yukawa
from structures import deep_potential, graph_of, random_atoms

from sognet import SOGNet, SOGNetCalculator
from sognet.data import Keys, Structure, build_graph
from sognet.errors import InputError
from sognet.long_range import FourierConvolution, SumOfGaussians
from sognet.short_range import CACE
from sognet.simulation.moving_structure import PairList

SPECIES = ["Na", "Cl"]
SHORT_RANGE = {
    "deep potential": lambda: deep_potential(),
    "cace": lambda: CACE(SPECIES, 4.0, n_radial=4, n_embedding=2, l_max=2),
    "messages": lambda: CACE(SPECIES, 4.0, n_radial=2, n_embedding=2, l_max=1, n_message_passing=1),
    "own": lambda: Radial(SPECIES, 4.0),  # not zero beyond its cutoff
}


def model_of(short_range: str, layer: torch.nn.Module | None = None) -> SOGNet:
    torch.manual_seed(3)
    layer = layer or FourierConvolution(SumOfGaussians.power_law(1.0, 4.0, n_gaussians=4), tolerance=1e-13)
    return SOGNet(SHORT_RANGE[short_range](), layer, n_latent=1, feature_scale=0.05).eval()


def path(atoms: Atoms, steps: int = 12, cell: float = 0.0):
    """A walk on which the atoms drift out of the cell, which may change."""
    rng = np.random.default_rng(1)
    for step in range(steps):
        atoms.positions += 0.05 * rng.normal(size=atoms.positions.shape) + [0.4, -0.3, 0.0]
        if cell:
            atoms.set_cell(atoms.cell.array @ (np.eye(3) + cell * rng.normal(size=(3, 3))), scale_atoms=True)
        if step == 7:
            atoms.numbers = np.roll(atoms.numbers, 1)
        yield atoms


def assert_same_as_the_model(calculator: SOGNetCalculator, model: SOGNet, atoms: Atoms, stress: bool) -> None:
    out = {k: v.detach().numpy() for k, v in model(graph_of(atoms), energies=True).items()}
    calculator.calculate(atoms, ["energy", "forces", "energies", *(["stress"] if stress else [])])
    found = calculator.results | calculator.other_results
    for name in ("energy", "energy_short_range", "energy_long_range"):
        assert found[name] == pytest.approx(out[name].item(), abs=1e-10), name
    for name in ("forces", "energies", "latent"):
        np.testing.assert_allclose(found[name], out[name], atol=1e-10, err_msg=name)
    if stress:
        voigt = out["stress"][0][[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        np.testing.assert_allclose(found["stress"], voigt, atol=1e-10)
    assert stress or "stress" not in found


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("short_range", SHORT_RANGE)
@pytest.mark.parametrize("pbc", [(True, True, True), (True, True, False), (False, False, False)])
def test_reuse_changes_nothing(short_range, pbc):
    model, atoms = model_of(short_range), random_atoms()
    atoms.pbc = pbc
    calculator = SOGNetCalculator(model)
    for moved in path(atoms):
        assert_same_as_the_model(calculator, model, moved, stress=False)
    made = calculator.evaluator.moving.lists[4.0].n_made
    assert 1 < made < 12
    for moved in path(atoms, 3):
        assert_same_as_the_model(calculator, model, moved, stress=any(pbc))


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("pbc", [(True, True, True), (True, True, False)])
def test_reuse_changes_nothing_in_cells_that_move(pbc):
    model, atoms = model_of("cace"), random_atoms()
    atoms.pbc = pbc
    calculator = SOGNetCalculator(model)
    for moved in path(atoms, cell=0.004):
        assert_same_as_the_model(calculator, model, moved, stress=True)
    assert calculator.evaluator.moving.lists[4.0].n_made < 12


@pytest.mark.usefixtures("double")
def test_layers_of_ones_own_and_models_without():
    for layer in (Yukawa(), None):
        model = model_of("own", layer) if layer else SOGNet(deep_potential(), None).eval()
        calculator = SOGNetCalculator(model)
        for moved in path(random_atoms(), 4):
            assert_same_as_the_model(calculator, model, moved, stress=False)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("pbc", [True, False])
def test_any_structure_may_follow_any_other(pbc):
    """Of other sizes and cells, one atom, and atoms without edges."""
    model = model_of("cace")
    calculator = SOGNetCalculator(model)
    far = Atoms("Na2", positions=[[0, 0, 0], [9.0, 0, 0]], cell=[20.0] * 3, pbc=pbc)
    one = Atoms("Cl", positions=[[0, 0, 150.0]], cell=[20.0] * 3, pbc=pbc)
    beyond = random_atoms(pbc=pbc)
    beyond.positions[3] += 20 * beyond.cell.array[0]
    frames = [random_atoms(pbc=pbc), far, one, random_atoms(9, pbc=pbc), one, random_atoms(pbc=not pbc), beyond, far]
    for atoms in frames:
        assert_same_as_the_model(calculator, model, atoms, stress=False)


def sorted_edges(edges: np.ndarray, images: np.ndarray) -> np.ndarray:
    rows = np.concatenate([edges, images.T])
    return rows[:, np.lexsort(rows)]


@pytest.mark.parametrize("cell", [0.0, 0.02])
def test_pairs_are_those_of_a_new_list_whenever_it_was_made(cell):
    """Also in their order, so that sums are the same to the last bit."""
    pairs = PairList(4.0, skin=1.0)
    for step, atoms in enumerate(path(random_atoms(30), 30, cell)):
        structure = Structure.from_atoms(atoms, Keys(energy=None, forces=None), "test")
        edges, images = pairs.within_cutoff(structure.positions, structure)
        again, same = PairList(4.0).within_cutoff(structure.positions, structure)
        np.testing.assert_array_equal(edges, again)
        np.testing.assert_array_equal(images, same)
        graph = build_graph(structure, 4.0)
        expected = sorted_edges(graph.edge_index.numpy(), graph.cell_shift.numpy())
        np.testing.assert_array_equal(sorted_edges(edges, images), expected, err_msg=str(step))
    assert pairs.n_made < 30


def test_atoms_in_one_place_are_named():
    atoms = random_atoms()
    calculator = SOGNetCalculator(model_of("cace"))
    calculator.calculate(atoms)
    atoms.positions[7] = atoms.positions[2] + [0.05, 0, 0]
    with pytest.raises(InputError, match=r"atoms 2 and 7 are 0\.050 Å apart|atoms 7 and 2 are 0\.050 Å apart"):
        calculator.calculate(atoms)
