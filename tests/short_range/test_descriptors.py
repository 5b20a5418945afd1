"""The descriptors' symmetries, smoothness and sizes, and CACE against its definition."""

import copy
import math

import numpy as np
import pytest
import torch
from ase import Atoms
from scipy.spatial.transform import Rotation
from structures import TRICLINIC, deep_potential, graph_of, random_atoms
from torch_geometric.data import Batch

from sognet.short_range import CACE
from sognet.short_range.angular import Invariants, Monomials, multi_indices, multinomial
from sognet.short_range.edges import PairMatrix, edge_vectors

pytestmark = pytest.mark.usefixtures("double")


def cace(**settings) -> CACE:
    torch.manual_seed(2)
    return CACE(["Na", "Cl"], **({"cutoff": 4.0, "n_radial": 4, "n_embedding": 2} | settings))


DESCRIPTORS = {
    "deep potential": deep_potential,
    "core alone": lambda: deep_potential(shell_embedding=()),
    "shell alone": lambda: deep_potential(core_embedding=()),
    "cace": cace,
    "cace, four bodies": lambda: cace(nu_max=4, l_max=3),
    "cace, messages": lambda: cace(n_message_passing=1, l_max=2, nu_max=2),
    "cace, linear messages": lambda: cace(
        n_message_passing=1, l_max=2, nu_max=2, messages=["network"], message_hidden=[], cutoff_power=5
    ),
}


@pytest.fixture(params=DESCRIPTORS)
def descriptor(request, device):
    torch.manual_seed(1)
    return DESCRIPTORS[request.param]().to(device)


@pytest.mark.parametrize("n_embedding", [1, 3, 4, 7])
def test_orthogonal_embeddings_keep_the_elements_as_far_apart_as_they_can_be(n_embedding):
    model = CACE(["H", "C", "N", "O"], 4.0, n_embedding=n_embedding, orthogonal_embeddings=True)
    assert not torch.equal(model.sender, model.receiver)
    for embedding in (model.sender.detach(), model.receiver.detach()):
        short = embedding if n_embedding >= 4 else embedding.T
        torch.testing.assert_close(short @ short.T, max(4, n_embedding) * torch.eye(len(short)), atol=1e-12, rtol=0)
        assert embedding.square().mean() == pytest.approx(1)


def test_features_have_the_promised_number_and_vary(descriptor, device):
    features = descriptor(graph_of(random_atoms()).to(device))
    assert features.shape == (12, descriptor.n_features)
    assert features.std(0).min() > 0


def test_features_do_not_change_under_rotation_inversion_and_translation(descriptor, device):
    atoms = random_atoms()
    reference = descriptor(graph_of(atoms).to(device))
    for matrix in (Rotation.from_rotvec([0.3, -0.9, 0.5]).as_matrix(), -np.eye(3)):
        turned = atoms.copy()
        turned.set_cell(atoms.cell.array @ matrix.T)
        turned.positions = atoms.positions @ matrix.T + 0.7
        torch.testing.assert_close(descriptor(graph_of(turned).to(device)), reference, atol=1e-9, rtol=1e-9)


def test_features_follow_a_permutation_and_a_supercell(descriptor, device):
    atoms = random_atoms()
    reference = descriptor(graph_of(atoms).to(device))
    order = np.random.default_rng(1).permutation(len(atoms))
    torch.testing.assert_close(descriptor(graph_of(atoms[order]).to(device)), reference[order], atol=1e-9, rtol=1e-9)
    doubled = descriptor(graph_of(atoms.repeat((1, 2, 1))).to(device))
    torch.testing.assert_close(doubled, reference.repeat(2, 1), atol=1e-9, rtol=1e-9)


def test_an_atom_enters_smoothly(descriptor, device):
    def features(distance: float) -> torch.Tensor:
        atoms = Atoms("NaClNa", positions=[[0, 0, 0], [distance, 0, 0], [0, 2.0, 0]])
        return descriptor(graph_of(atoms).to(device))[0]

    step = 1e-3
    values = [features(4.0 + n * step) for n in (-2, -1, 0, 1)]
    curvature = (values[0] - 2 * values[1] + values[2]) / step**2
    torch.testing.assert_close(values[2], values[3], atol=1e-12, rtol=0)
    assert curvature.abs().max() < 0.2 * (1 + features(3.0).abs().max())


def test_derivatives_of_features_and_of_forces(descriptor, device):
    """Along random directions of the positions and of every parameter, against central differences."""
    graph = Batch.from_data_list(
        [graph_of(random_atoms()).to(device), graph_of(random_atoms(5, pbc=False, seed=1)).to(device)]
    )
    graph.pos.requires_grad_()
    weights = torch.randn(len(graph.z), descriptor.n_features).to(device)
    inputs = [graph.pos, *descriptor.parameters()]

    def energy() -> torch.Tensor:
        return (weights * descriptor(graph)).sum()

    def force_loss() -> torch.Tensor:
        (forces,) = torch.autograd.grad(energy(), graph.pos, create_graph=True)
        return forces.square().sum()

    for function in (energy, force_loss):
        for x, gradient in zip(inputs, torch.autograd.grad(function(), inputs, allow_unused=True), strict=True):
            direction, step, values = torch.randn_like(x), 1e-5, []
            for sign in (1, -2, 1):
                x.data += sign * step * direction
                values.append(function().item())
            difference = (values[0] - values[1]) / (2 * step)
            scale = sum(abs(v) for v in values)
            assert (gradient * direction).sum().item() == pytest.approx(difference, rel=1e-6, abs=1e-7 * scale)


def test_function_transforms_differentiate_features(descriptor, device):
    graph = graph_of(random_atoms()).to(device)
    weights = torch.randn(len(graph.z), descriptor.n_features).to(device)

    def energy(positions: torch.Tensor) -> torch.Tensor:
        moved = copy.copy(graph)
        moved.pos = positions
        return (weights * descriptor(moved)).sum()

    positions = graph.pos.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(energy(positions), positions)
    torch.testing.assert_close(torch.func.grad(energy)(graph.pos), gradient, rtol=1e-12, atol=1e-12)


def test_atoms_without_neighbours_and_batches(descriptor, device):
    lonely, pair = Atoms("Cl", positions=[[0.0, 0, 0]]), Atoms("NaCl", positions=[[0, 0, 0], [2.5, 0, 0]])
    graphs = [graph_of(a).to(device) for a in (lonely, pair, random_atoms())]
    together = descriptor(Batch.from_data_list(graphs))
    alone = [descriptor(g) for g in graphs]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"messages": ["Bchi"]}, "messages must be some of memory, decay, network"),
        ({"messages": []}, "messages must be some of"),
        ({"cutoff_power": 1}, "cutoff_power must be a whole number from 2"),
        ({"cutoff_power": 5.5}, "cutoff_power must be a whole number from 2"),
    ],
)
def test_settings_without_meaning_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        cace(**settings)


def test_unknown_species_and_unsorted_edges_are_refused():
    with pytest.raises(ValueError, match="structure has Cu"):
        cace()(graph_of(Atoms("Cu2", positions=[[0, 0, 0], [2, 0, 0]])))
    graph = graph_of(random_atoms())
    graph.edge_index = graph.edge_index.flip(1)
    with pytest.raises(ValueError, match="sorted by centre"):
        cace()(graph)


@pytest.mark.parametrize(("l_max", "nu_max", "expected"), [(2, 2, 3), (3, 3, 6), (4, 3, 9), (3, 1, 1), (3, 4, 7)])
def test_number_of_invariants(l_max, nu_max, expected):
    assert Invariants(Monomials(l_max).indices, nu_max).n_invariants == expected


def test_invariants_of_one_direction_are_one(device):
    """For A = the monomials of one unit vector every chain is a product of powers of u·u = 1."""
    monomials = Monomials(4).to(device)
    direction = torch.nn.functional.normalize(torch.randn(1, 3), dim=1).to(device)
    values = Invariants(monomials.indices, 4).to(device)(monomials(direction).T)
    torch.testing.assert_close(values, torch.ones_like(values))


def edge_basis(model: CACE, graph) -> tuple[torch.Tensor, torch.Tensor]:
    """Distances, and χ for every edge as a full outer product, radial × angular × sender × receiver:
    (n_monomials, E, S, T, n_radial).
    """
    species = model.species_index(graph.z)
    neighbour, centre = graph.edge_index
    vectors = edge_vectors(graph)
    distance = vectors.norm(dim=1)
    x, y, z = (vectors / distance[:, None]).T
    u = distance / model.cutoff
    bessel = torch.stack(
        [
            math.sqrt(2 / model.cutoff) * torch.sin(f * u) / distance * envelope(u, model.cutoff_power)
            for f in model.bessel.frequencies.tolist()
        ],
        dim=1,
    )
    channel = torch.einsum("es,et->est", model.sender[species[neighbour]], model.receiver[species[centre]])
    basis = []
    for order in range(model.l_max + 1):
        radial = torch.einsum("eb,sbtn->estn", bessel, model.mixing[order]) * channel[..., None]
        basis += [radial * (x**a * y**b * z**c)[:, None, None, None] for a, b, c in multi_indices(order)]
    return distance, torch.stack(basis)


def envelope(u: torch.Tensor, p: int) -> torch.Tensor:
    return 1 - (p + 1) * (p + 2) / 2 * u**p + p * (p + 2) * u ** (p + 1) - p * (p + 1) / 2 * u ** (p + 2)


def two_body_invariants(model: CACE, sums: torch.Tensor) -> torch.Tensor:
    """(n_monomials, N, ...) -> (N, (l_max+1) ...): Σ l!/(lx! ly! lz!) A²."""
    values, first = [sums[0]], 1
    for order in range(1, model.l_max + 1):
        indices = multi_indices(order)
        values.append(sum(multinomial(m) * sums[first + i] ** 2 for i, m in enumerate(indices)))
        first += len(indices)
    return torch.stack(values, dim=1).flatten(1)


@pytest.mark.parametrize("cutoff_power", [2, 5, 6])
def test_cace_is_its_definition(cutoff_power, device):
    model = cace(nu_max=2, l_max=2, cutoff_power=cutoff_power).to(device)
    graph = graph_of(random_atoms()).to(device)
    _, basis = edge_basis(model, graph)
    sums = basis.new_zeros(len(basis), len(graph.z), *basis.shape[2:]).index_add(1, graph.edge_index[1], basis)
    torch.testing.assert_close(model(graph), two_body_invariants(model, sums), atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("messages", [["memory", "decay", "network"], ["network"], ["decay"], ["memory", "network"]])
@pytest.mark.parametrize("fill", [0.0, 2.0], ids=["matrices", "edges"])
def test_messages_are_their_definition(monkeypatch, fill, messages, device):
    """In a cell with several images of a neighbour, and in a batch with a cluster of another size."""
    monkeypatch.setattr("sognet.short_range.message_passing.MATRIX_FROM", fill)
    model = cace(nu_max=2, l_max=2, n_message_passing=1, messages=messages).to(device)
    (layer,) = model.layers
    for p in layer.parameters():
        p.data += 0.3 * torch.randn_like(p)
    small = random_atoms(4, cell=TRICLINIC / 2)
    graph = Batch.from_data_list([graph_of(small), graph_of(random_atoms(5, pbc=False, seed=1))]).to(device)
    assert PairMatrix(graph).n_images > 1
    neighbour, centre = graph.edge_index
    distance, basis = edge_basis(model, graph)
    sums = basis.new_zeros(len(basis), len(graph.z), *basis.shape[2:]).index_add(1, centre, basis)
    first = two_body_invariants(model, sums)
    if "network" in messages:
        answer = layer.network(first).reshape(len(graph.z), 3, 2, 2, 1)
    expected = []
    for m, order in enumerate([0, 1, 1, 1, 2, 2, 2, 2, 2, 2]):
        memory, strength, rate = (
            basis.new_zeros(2, 2, 4) if p is None else p[order].reshape(2, 2, 4)
            for p in (layer.memory, layer.strength, layer.inverse_length)
        )
        u = (distance / model.cutoff)[:, None, None, None]
        received = strength * torch.exp(-u * rate) * envelope(u, 6) * sums[m, neighbour]
        if "network" in messages:
            received = received + answer[neighbour, order] * basis[m]
        expected.append((memory * sums[m]).index_add(0, centre, received))
    expected = torch.cat([first, two_body_invariants(model, torch.stack(expected))], dim=1)
    torch.testing.assert_close(model(graph), expected, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize(
    ("species", "n_embedding", "n_radial", "features"),
    [(["Na", "Cl"], 2, 8, 192), (["H", "O", "F", "K"], 4, 12, 1152), (["H", "O"], 3, 12, 648)],
)
def test_published_numbers_of_features(species, n_embedding, n_radial, features):
    model = CACE(species, 5.0, n_radial=n_radial, n_embedding=n_embedding)
    assert model.n_features == features
