"""Charges, dipoles, quadrupoles and Born effective charges as targets of a plain model."""

import numpy as np
import pytest
from ase.io import read, write
from fitting import metrics_of_epochs
from structures import deep_potential, labelled_atoms, small_model
from torch.optim import Adam
from torch_geometric.data import Batch

from sognet import SOGNet
from sognet.analysis.predictions import errors, predict, write_predictions
from sognet.data import Keys, Splits, Structure, read_structures
from sognet.data.graph import build_graph
from sognet.errors import InputError
from sognet.targets import OF_CHARGES, TARGETS, add_targets
from sognet.training.build import check_targets
from sognet.training.loss import PotentialLoss
from sognet.training.module import PotentialModule

pytestmark = pytest.mark.usefixtures("double")
CHARGE = {11: 0.9, 17: -0.9}


@pytest.fixture(autouse=True)
def table(monkeypatch):
    for name in OF_CHARGES:
        monkeypatch.setitem(TARGETS, name, OF_CHARGES[name])


@pytest.fixture
def structures(tmp_path):
    """Clusters of point charges, periodic cells and slabs of them."""
    frames = []
    for i in range(12):
        atoms = labelled_atoms(6, seed=i, pbc=[False, True, [True, True, False]][i % 3])
        charges = np.vectorize(CHARGE.get)(atoms.numbers)
        squares = (atoms.positions**2).sum(1)[:, None, None] * np.eye(3)
        atoms.arrays["charges"] = charges
        atoms.info["dipole"] = charges @ atoms.positions
        tensors = 3 * np.einsum("na,nb->nab", atoms.positions, atoms.positions) - squares
        atoms.info["quadrupole"] = np.einsum("n,nab->ab", charges, tensors) / 2
        atoms.arrays["bec"] = (charges[:, None, None] * np.eye(3)).reshape(-1, 9)
        frames.append(atoms)
    write(tmp_path / "mine.xyz", frames, format="extxyz")
    found = read_structures(tmp_path / "mine.xyz")
    assert {"charges", "dipole", "quadrupole", "born_effective_charges"} == set(found[0].further)
    return found


def test_only_what_is_asked_for_is_in_the_table(monkeypatch):
    for name in OF_CHARGES:
        monkeypatch.delitem(TARGETS, name)
    add_targets(["dipole", "something"])
    assert "dipole" in TARGETS
    assert "charges" not in TARGETS
    PotentialLoss(1.0, 1.0, targets={"charges": 0.1})
    assert "charges" in TARGETS
    atoms = labelled_atoms()
    atoms.info["quadrupole"] = "none of ours"
    assert not Structure.from_atoms(atoms, Keys(), "file").further
    for name in OF_CHARGES:
        TARGETS.pop(name, None)


def test_dipoles_are_those_along_open_directions(structures):
    for structure in structures:
        graph = build_graph(structure, 4.0)
        is_open = ~structure.pbc
        assert ("quadrupole" in graph) == is_open.all()
        if not is_open.any():
            assert "dipole" not in graph
            continue
        dipole, along = graph.dipole[0].numpy(), structure.cell[structure.pbc]
        np.testing.assert_allclose(along @ dipole, 0, atol=1e-9)
        if is_open.all():
            np.testing.assert_allclose(dipole, structure.value("dipole"))


def test_known_charges_have_no_error(structures):
    model = small_model(n_latent=1, charges={"Na": 0.9, "Cl": -0.9})
    found = errors(list(predict(model, structures, batch_size=5)))
    for label in ("charge", "dipole", "quadrupole", "born_charge"):
        assert found[f"{label}_rmse"] == pytest.approx(0, abs=1e-3), label
    assert (found["n_dipole"], found["n_quadrupole"]) == (8, 4)


def test_a_model_without_charges_is_told_so(structures):
    graph = build_graph(structures[0], 4.0)
    batch = Batch.from_data_list([graph])
    with pytest.raises(InputError, match="the loss gives dipole a weight, and the model has no output of that name"):
        PotentialLoss(1.0, 1.0, targets={"dipole": 1.0})(SOGNet(deep_potential(), None)(batch), batch)


def test_a_plain_model_learns_them(structures, tmp_path, device):
    splits = Splits("mine", structures, structures)
    loss = PotentialLoss(0.0, 0.0, targets=dict.fromkeys(OF_CHARGES, 1.0))
    check_targets(loss, splits)
    model = small_model(n_latent=1, element_latents=True)
    module = PotentialModule(model, loss, lambda p: Adam(p, lr=0.03))
    found = metrics_of_epochs(module, splits, device, batch_size=4, max_epochs=20)
    for label in ("charge", "dipole", "quadrupole", "born_charge"):
        assert found[-1][f"val/{label}_rmse"] < 0.5 * found[0][f"val/{label}_rmse"], label
    write_predictions(tmp_path / "predictions.extxyz", list(predict(model, structures)), ["test"] * 12)
    atoms = read(tmp_path / "predictions.extxyz", index="0")
    assert {"dipole", "reference_dipole", "reference_quadrupole"} <= set(atoms.info) | set(atoms.calc.results)
    assert {"charges", "reference_charges", "born_effective_charges"} <= set(atoms.arrays) | set(atoms.calc.results)
