"""What physics demands of the whole model."""

import itertools

import numpy as np
import pytest
import torch
from ase import Atoms
from scipy.spatial.transform import Rotation
from structures import TRICLINIC, batch_of, graph_of, random_atoms, small_model

from sognet.model.initial_latents import start_latents

pytestmark = pytest.mark.usefixtures("double")


@pytest.fixture
def evaluate(device):
    """What a small model gives for a structure."""

    def outputs(atoms: Atoms, **settings) -> dict[str, np.ndarray]:
        model = small_model(**settings).to(device).eval()
        return {k: v.detach().cpu().numpy() for k, v in model(graph_of(atoms).to(device)).items()}

    return outputs


@pytest.fixture(params=["periodic", "cluster"])
def atoms(request):
    return random_atoms(pbc=request.param == "periodic")


def test_energy_does_not_change_under_rotation_and_inversion(atoms, evaluate):
    reference = evaluate(atoms)
    for matrix in (Rotation.from_rotvec([0.3, -0.9, 0.5]).as_matrix(), -np.eye(3)):
        turned = atoms.copy()
        turned.set_cell(atoms.cell.array @ matrix.T)
        turned.positions = atoms.positions @ matrix.T
        out = evaluate(turned)
        assert out["energy"] == pytest.approx(reference["energy"], abs=1e-9)
        np.testing.assert_allclose(out["forces"], reference["forces"] @ matrix.T, atol=1e-9)
        np.testing.assert_allclose(out["stress"][0], matrix @ reference["stress"][0] @ matrix.T, atol=1e-9)
        np.testing.assert_allclose(out["latent"], reference["latent"], atol=1e-9)


def test_energy_does_not_change_under_translation_and_wrapping(atoms, evaluate):
    reference = evaluate(atoms)
    moved = atoms.copy()
    moved.positions += [0.3, -1.7, 20.1]
    if atoms.pbc.all():
        moved.wrap()
    out = evaluate(moved)
    assert out["energy"] == pytest.approx(reference["energy"], abs=1e-9)
    np.testing.assert_allclose(out["forces"], reference["forces"], atol=1e-9)


def test_atoms_of_one_species_are_interchangeable(atoms, evaluate):
    reference = evaluate(atoms)
    order = np.random.default_rng(3).permutation(len(atoms))
    out = evaluate(atoms[order])
    assert out["energy"] == pytest.approx(reference["energy"], abs=1e-9)
    np.testing.assert_allclose(out["forces"], reference["forces"][order], atol=1e-9)


def test_energy_is_extensive(evaluate):
    atoms = random_atoms()
    once, twice = evaluate(atoms), evaluate(atoms.repeat((2, 1, 1)))
    assert twice["energy"] == pytest.approx(2 * once["energy"], abs=1e-9)
    np.testing.assert_allclose(twice["forces"], np.tile(once["forces"], (2, 1)), atol=1e-9)
    np.testing.assert_allclose(twice["stress"], once["stress"], atol=1e-9)


def test_forces_add_up_to_zero(atoms, evaluate):
    np.testing.assert_allclose(evaluate(atoms)["forces"].sum(0), 0.0, atol=1e-10)


def test_forces_are_the_derivative_of_the_energy(atoms, evaluate):
    reference = evaluate(atoms)["forces"]
    step = 1e-4
    for atom, axis in ((0, 0), (5, 1), (11, 2)):
        energies = []
        for factor in (-2, -1, 1, 2):
            moved = atoms.copy()
            moved.positions[atom, axis] += factor * step
            energies.append(evaluate(moved)["energy"][0])
        slope = (8 * (energies[2] - energies[1]) - (energies[3] - energies[0])) / (12 * step)
        assert -slope == pytest.approx(reference[atom, axis], abs=1e-8)


@pytest.mark.parametrize("method", ["separable", "mesh", "nufft", "direct"])
def test_stress_is_the_derivative_with_strain(method, evaluate):
    atoms = random_atoms()
    reference = evaluate(atoms, method=method)["stress"][0]
    step = 1e-4
    for a, b in ((0, 0), (1, 1), (0, 1), (1, 2)):
        energies = []
        for factor in (-2, -1, 1, 2):
            strain = np.eye(3)
            strain[a, b] += factor * step / 2
            strain[b, a] += factor * step / 2
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            energies.append(evaluate(strained, method=method)["energy"][0])
        slope = (8 * (energies[2] - energies[1]) - (energies[3] - energies[0])) / (12 * step)
        assert slope / atoms.get_volume() == pytest.approx(reference[a, b], abs=1e-8)


@pytest.mark.parametrize("pbc", [(True, True, False), (True, False, True), (False, True, False)])
def test_stress_is_the_derivative_with_strain_along_periodic_directions(pbc, evaluate):
    """In any orientation, over the volume of the cell; zero along open directions, and without volume."""
    atoms = random_atoms(seed=3)
    atoms.set_cell(TRICLINIC @ Rotation.random(random_state=1).as_matrix(), scale_atoms=True)
    atoms.pbc = pbc
    stress = evaluate(atoms)["stress"][0]
    vectors = atoms.cell.array[np.array(pbc)]
    along = np.linalg.qr(vectors.T)[0].T  # orthonormal, of the periodic directions
    step = 1e-4
    for a, b in itertools.combinations_with_replacement(along, 2):
        strain = step * (np.outer(a, b) + np.outer(b, a)) / 2
        energies = []
        for factor in (-2, -1, 1, 2):
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ (np.eye(3) + factor * strain), scale_atoms=True)
            energies.append(evaluate(strained)["energy"][0])
        slope = (8 * (energies[2] - energies[1]) - (energies[3] - energies[0])) / (12 * step)
        assert slope / atoms.get_volume() == pytest.approx(a @ stress @ b, abs=1e-7)
    projector = along.T @ along
    np.testing.assert_allclose(projector @ stress @ projector, stress, atol=1e-12)
    higher, flat = atoms.copy(), atoms.copy()
    higher.cell[~np.array(pbc)] *= 1.5
    np.testing.assert_allclose(
        evaluate(higher)["stress"][0] * higher.get_volume(), stress * atoms.get_volume(), atol=1e-7
    )
    flat.cell[~np.array(pbc)] = 0
    assert not evaluate(flat)["stress"].any()


def test_energy_and_forces_are_smooth_where_an_atom_crosses_the_cutoff(evaluate):
    def pair(distance: float) -> Atoms:
        return Atoms("NaClNa", positions=[[0, 0, 0], [distance, 0, 0], [0, 2.0, 0]])

    at = 4.0
    for quantity in ("energy", "forces"):
        steps = [evaluate(pair(at + d))[quantity] for d in (-1e-4, 0.0, 1e-4)]
        slopes = (steps[1] - steps[0]) / 1e-4, (steps[2] - steps[1]) / 1e-4
        np.testing.assert_allclose(slopes[0], slopes[1], atol=2e-3)  # no jump in the next derivative
        np.testing.assert_allclose(steps[0], steps[2], atol=1e-2)


def test_structures_of_a_batch_do_not_see_each_other(device):
    members = [
        random_atoms(seed=1),
        random_atoms(5, seed=2, pbc=False),
        random_atoms(20, seed=3, cell=1.4 * TRICLINIC),
        Atoms("Na", positions=[[0.0, 0.0, 0.0]]),
    ]
    model = small_model().to(device).eval()
    together = model(batch_of(*members).to(device))
    alone = [model(graph_of(a).to(device)) for a in members]
    for key in ("energy", "energy_short_range", "energy_long_range", "forces", "stress", "latent"):
        torch.testing.assert_close(together[key], torch.cat([out[key] for out in alone]), atol=1e-10, rtol=0)


def test_isolated_atom_has_an_energy_and_no_forces(evaluate):
    out = evaluate(Atoms("Cl", positions=[[1.0, 2.0, 3.0]]))
    assert np.isfinite(out["energy"]).all()
    np.testing.assert_allclose(out["forces"], 0.0, atol=1e-12)


def test_cell_smaller_than_the_cutoff_is_handled_by_images(evaluate):
    small = Atoms("NaCl", positions=[[0, 0, 0], [1.5, 1.4, 1.3]], cell=[2.9, 3.0, 3.1], pbc=True)
    once, many = evaluate(small), evaluate(small.repeat((3, 3, 3)))
    assert many["energy"] == pytest.approx(27 * once["energy"], abs=1e-8)


def test_cluster_and_the_same_cluster_in_a_huge_cell_agree(evaluate):
    cluster = random_atoms(pbc=False)
    neutral = {"n_latent": 1, "charges": {"Na": 1.0, "Cl": -1.0}}
    boxed = cluster.copy()
    boxed.set_cell([150.0] * 3)
    boxed.pbc = True
    free, box = evaluate(cluster, **neutral), evaluate(boxed, **neutral)
    assert box["energy"] == pytest.approx(free["energy"], abs=1e-3)  # dipoles interact with their images


@pytest.mark.parametrize("cell", [np.eye(3), TRICLINIC, np.diag([30.0, 0.0, 0.0])])
def test_the_cell_that_a_cluster_carries_means_nothing(evaluate, cell):
    """Databases complete missing cells to 1 Å, far smaller than the cutoff."""
    free, carrying = random_atoms(pbc=False), random_atoms(pbc=False)
    free.cell[:] = 0.0
    carrying.set_cell(cell)
    for name in ("energy", "forces", "latent"):
        np.testing.assert_allclose(evaluate(carrying)[name], evaluate(free)[name], atol=1e-10)


def test_short_range_control_has_no_long_range_energy(device):
    model = small_model().to(device)
    model.long_range = None
    model.latent_head = None
    out = model(graph_of(random_atoms()).to(device))
    assert out["energy_long_range"].abs().max() == 0
    assert out["latent"].shape == (12, 0)


def test_reference_energies_keep_double_precision(device):
    model = small_model(reference_energies={"Na": -1.0e5 - 1e-4, "Cl": -3.0e5}).float().to(device)
    out = model(graph_of(random_atoms()).to(device), forces=False, stress=False)
    expected = 6 * (-1.0e5 - 1e-4) + 6 * -3.0e5 + (out["energy_short_range"] + out["energy_long_range"]).item()
    assert out["energy"].item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["separable", "mesh", "nufft", "direct"])
def test_gradients_of_a_force_loss_against_finite_differences(method, device):
    """Second derivatives through forces and stress, with respect to every kind of parameter, in a mixed batch."""
    model = small_model(method=method).to(device).train()
    graph = batch_of(random_atoms(seed=4), random_atoms(6, pbc=False, seed=5), random_atoms(9, seed=6)).to(device)

    def loss() -> torch.Tensor:
        out = model(graph)
        return out["forces"].square().sum() + out["stress"].square().sum() + out["energy"].sum()

    loss().backward()
    kernel = model.long_range.kernel
    for parameter in (
        kernel.relative_weights,
        kernel.bandwidth_shift,
        model.energy_head.network.layers[0].weight,
        model.latent_head.network.layers[0].weight,
        model.short_range.core.weight,
        model.short_range.shell.layers[0].weight,
    ):
        gradient = parameter.grad.clone()
        direction = torch.randn_like(parameter)
        values = []
        with torch.no_grad():
            start = parameter.clone()
        for factor in (-2, -1, 1, 2):
            with torch.no_grad():
                parameter.copy_(start + factor * 1e-4 * direction)
            values.append(loss().item())
        with torch.no_grad():
            parameter.copy_(start)
        slope = (8 * (values[2] - values[1]) - (values[3] - values[0])) / (12e-4)
        expected = (gradient * direction).sum().item()
        assert slope == pytest.approx(expected, rel=1e-7, abs=1e-7)


@pytest.mark.parametrize(("scale", "expected"), [(1.0, 1.0), (0.04, 0.04), (None, None)])
def test_standardized_features_have_the_promised_deviation(scale, expected, device):
    model = small_model(standardize=True, feature_scale=scale).to(device)
    graph = batch_of(*(random_atoms(seed=n) for n in range(3))).to(device)
    model.set_standardization(graph)
    features = (model.short_range(graph) - model.feature_mean) / model.feature_std
    largest = features.std(0, correction=0).max().item()  # the others are held down by a floor
    assert largest == pytest.approx(expected or 1 / model.short_range.n_features, rel=0.02)


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("settings", [{"n_latent": 2}, {"n_latent": 1, "total_charge": True, "energy_scale": 4.0}])
def test_latents_start_from_charges_of_the_elements(standardize, settings, device):
    charges = {"Na": 0.3, "Cl": -0.1}
    model = small_model(standardize=standardize, latent_bias=not standardize, **settings).to(device)
    graph = batch_of(*(random_atoms(seed=n) for n in range(8)))
    graph.charge = torch.zeros(len(graph.cell))
    graph = graph.to(device)
    if standardize:
        model.set_standardization(graph)
    before = {name: p.clone() for name, p in model.named_parameters()}
    others = model(graph)["latent"][:, 1:]
    start_latents(model, graph, charges)
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {"latent_head.bypass.weight"}
    latent = model(graph)["latent"]
    expected = torch.where(graph.z == 11, charges["Na"], charges["Cl"])
    if standardize:  # features without a mean give latents without one
        expected = expected - expected.mean()
    assert (latent[:, 0] - expected).square().mean().sqrt() < 0.1 * (charges["Na"] - charges["Cl"])
    torch.testing.assert_close(latent[:, 1:], others, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("settings", "charges", "message"),
    [
        ({}, {"Na": 1.0}, "missing for Cl"),
        ({}, {"Na": 1.0, "Cl": -1.0, "Xy": 0.0}, "Xy is none"),
        ({"bypass": False}, {"Na": 1.0, "Cl": -1.0}, "bypass"),
        ({"n_latent": 1, "charges": {"Na": 1.0, "Cl": -1.0}}, {"Na": 1.0, "Cl": -1.0}, "latent-variable network"),
    ],
)
def test_latents_that_cannot_start_from_charges(settings, charges, message):
    with pytest.raises(ValueError, match=message):
        start_latents(small_model(**settings), batch_of(random_atoms()), charges)
