"""Dipoles, quadrupoles, Born effective charges and fields against finite differences and sum rules."""

import itertools

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from structures import TRICLINIC, batch_of, deep_potential, graph_of, random_atoms, small_model

from sognet import SOGNet

pytestmark = pytest.mark.usefixtures("double")
EVERY = list(itertools.product((True, False), repeat=3))
STEP = 1e-4


@pytest.fixture
def model(device):
    return small_model(n_latent=1, neutral=True).to(device).eval()


def evaluate(model, atoms, *properties, field=None, **wanted):
    graph = graph_of(atoms).to(model.device)
    if field is not None:
        graph.field = torch.tensor(np.array([field]), device=model.device)
    out = model(graph, properties=properties, **wanted)
    return {name: value.detach().cpu().numpy() for name, value in out.items()}


def moved(atoms, atom, axis, step):
    copy = atoms.copy()
    copy.positions[atom, axis] += step
    return copy


def test_dipole_and_quadrupole_of_a_cluster_are_sums_over_its_charges(model):
    atoms = random_atoms(pbc=False)
    out = evaluate(model, atoms, "charges", "dipole", "quadrupole")
    q, r = out["charges"], atoms.positions
    np.testing.assert_allclose(out["dipole"][0], q @ r, atol=1e-12)
    expected = np.einsum("n,na,nb->ab", q, 3 * r, r) / 2 - np.eye(3) * (q @ (r**2).sum(1)) / 2
    np.testing.assert_allclose(out["quadrupole"][0], expected, atol=1e-10)
    assert np.trace(out["quadrupole"][0]) == pytest.approx(0, abs=1e-10)
    np.testing.assert_allclose(out["charges"], out["latent"][:, 0])


def test_born_effective_charges_of_a_cluster_are_derivatives_of_its_dipole(model):
    atoms = random_atoms(pbc=False)
    found = evaluate(model, atoms, "born_effective_charges")["born_effective_charges"]
    for atom, axis in ((0, 0), (5, 1), (11, 2)):
        ends = [evaluate(model, moved(atoms, atom, axis, s), "dipole")["dipole"][0] for s in (STEP, -STEP)]
        np.testing.assert_allclose(found[atom, :, axis], (ends[0] - ends[1]) / (2 * STEP), atol=1e-7)


@pytest.mark.parametrize("pbc", EVERY)
def test_born_effective_charges_are_currents_of_the_charges(model, pbc):
    """In the limit of a large cell: Σ_j ∂q_j/∂r_i (r_j − r_i), by the nearest image; the difference falls as its
    square, so that two cells tell the limit.
    """
    cluster = random_atoms(8, pbc=False)
    expected = evaluate(model, cluster, "born_effective_charges")["born_effective_charges"]

    def found(scale):
        atoms = cluster.copy()
        atoms.positions += 20.0 * np.array(pbc)
        atoms.set_cell(np.where(np.array(pbc)[:, None], scale * (50 * np.eye(3) + TRICLINIC), 7 * np.eye(3)))
        atoms.pbc = pbc
        return evaluate(model, atoms, "born_effective_charges")["born_effective_charges"]

    limit = (4 * found(2) - found(1)) / 3
    assert np.abs(limit - expected).max() < 5e-4 * np.abs(expected).max()
    if not any(pbc):
        np.testing.assert_allclose(found(1), expected, atol=1e-10)


@pytest.mark.parametrize("pbc", [(True, True, True), (True, True, False), (False, False, False)])
def test_born_effective_charges_add_up_to_the_net_charge_and_do_not_depend_on_images(device, pbc):
    model = small_model(n_latent=1, neutral=True, total_charge=True).to(device).eval()
    atoms = random_atoms(seed=2)
    atoms.pbc = pbc

    def found(structure, charge):
        graph = batch_of(structure).to(device)
        graph.charge[:] = charge
        return model(graph, properties=["born_effective_charges"])["born_effective_charges"].detach().cpu().numpy()

    for charge in (0.0, 2.0):
        first = found(atoms, charge)
        other = atoms.copy()
        other.positions[3] += atoms.cell.array[0] * pbc[0] - 2 * atoms.cell.array[1] * pbc[1]
        other.positions += [0.3, 0.1, -0.7]
        np.testing.assert_allclose(found(other, charge), first, atol=1e-9)
        if not any(pbc):
            np.testing.assert_allclose(first.sum(0), charge * np.eye(3), atol=1e-9)


@pytest.mark.parametrize("pbc", [(True, True, True), (True, False, False)])
def test_born_effective_charges_turn_with_the_structure(model, pbc):
    atoms = random_atoms(seed=4)
    atoms.pbc = pbc
    turn = Rotation.random(random_state=0).as_matrix()
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ turn, scale_atoms=True)
    first, second = (evaluate(model, a, "born_effective_charges")["born_effective_charges"] for a in (atoms, turned))
    np.testing.assert_allclose(second, np.einsum("ai,nab,bj->nij", turn, first, turn), atol=1e-9)


def test_fixed_charges_are_their_born_effective_charges(device):
    model = small_model(n_latent=1, charges={"Na": 1.0, "Cl": -1.0}).to(device).eval()
    for pbc in EVERY:
        atoms = random_atoms()
        atoms.pbc = pbc
        found = evaluate(model, atoms, "born_effective_charges")["born_effective_charges"]
        expected = np.where(atoms.numbers == 11, 1.0, -1.0)[:, None, None] * np.eye(3)
        np.testing.assert_allclose(found, expected, atol=1e-10)


@pytest.mark.parametrize("pbc", [(False, False, False), (True, True, False), (True, False, False)])
def test_forces_and_stress_in_a_field_across_open_directions_are_derivatives(model, pbc):
    atoms = random_atoms(seed=5)
    atoms.pbc = pbc
    field = np.array([0.2, -0.1, 0.3])
    along = atoms.cell.array[np.array(pbc)]
    field -= np.linalg.pinv(along) @ along @ field if len(along) else 0
    out = evaluate(model, atoms, "dipole", field=field)
    free = evaluate(model, atoms)
    assert out["energy"][0] == pytest.approx(free["energy"][0] - out["dipole"][0] @ field, abs=1e-9)
    assert out["energy_field"][0] == pytest.approx(-out["dipole"][0] @ field, abs=1e-9)
    for atom, axis in ((0, 0), (3, 1), (7, 2)):
        ends = [evaluate(model, moved(atoms, atom, axis, s), field=field)["energy"][0] for s in (STEP, -STEP)]
        assert out["forces"][atom, axis] == pytest.approx(-(ends[0] - ends[1]) / (2 * STEP), abs=1e-6)
    atomic = evaluate(model, atoms, field=field, energies=True)["energies"]
    assert atomic.sum() == pytest.approx(out["energy"][0], abs=1e-8)


@pytest.mark.parametrize("pbc", EVERY)
def test_forces_of_a_field_are_those_of_born_effective_charges(model, pbc):
    atoms = random_atoms(seed=6)
    atoms.pbc = pbc
    field = [0.2, -0.1, 0.3]
    out, free = evaluate(model, atoms, "born_effective_charges", field=field), evaluate(model, atoms)
    change = np.einsum("a,nab->nb", field, out["born_effective_charges"])
    np.testing.assert_allclose(out["forces"] - free["forces"], change, atol=1e-8)


def test_structures_of_a_batch_have_their_own_responses(model):
    frames = [random_atoms(n, seed=n, pbc=n % 2 == 0) for n in (9, 6)]
    batch = batch_of(*frames).to(model.device)
    batch.field = torch.tensor([[0.1, 0.0, 0.2], [0.0, -0.3, 0.0]], device=model.device)
    names = ("dipole", "quadrupole", "born_effective_charges")
    together = {k: v.detach().cpu().numpy() for k, v in model(batch, properties=names).items()}
    for i, atoms in enumerate(frames):
        alone = evaluate(model, atoms, *names, field=batch.field[i].tolist())
        members = (batch.batch == i).cpu().numpy()
        for name in ("forces", "born_effective_charges"):
            np.testing.assert_allclose(together[name][members], alone[name], atol=1e-10)
        for name in ("energy", "dipole", "quadrupole"):
            np.testing.assert_allclose(together[name][i], alone[name][0], atol=1e-9)


def test_born_effective_charges_train(model):
    """The gradient of their loss against a finite difference."""
    graph = batch_of(random_atoms()).to(model.device)
    model.train()
    weight = model.latent_head.bypass.weight

    def loss():
        return model(graph, properties=["born_effective_charges"])["born_effective_charges"].square().sum()

    (gradient,) = torch.autograd.grad(loss(), weight)
    ends = []
    for step in (1e-5, -1e-5):
        with torch.no_grad():
            weight[0, 3] += step
        ends.append(loss().item())
        with torch.no_grad():
            weight[0, 3] -= step
    assert gradient[0, 3].item() == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5)


def test_what_has_no_charges_does_not_respond():
    control = SOGNet(deep_potential(), None)
    with pytest.raises(ValueError, match="no dipole: a model without long range has no latent charges"):
        control(graph_of(random_atoms()), properties=["dipole"])
    with pytest.raises(ValueError, match="no property polarizability; there are charges"):
        small_model()(graph_of(random_atoms()), properties=["polarizability"])
