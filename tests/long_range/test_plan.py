"""Plans: decided once, the same energy in either precision, and nothing but tensors in the steps that use them."""

import warnings

import numpy as np
import pytest
import torch
from devices import no_waiting

from sognet.long_range import FourierConvolution, SumOfGaussians


def layer_of(method="separable", n_gaussians=4, **settings) -> FourierConvolution:
    kernel = SumOfGaussians.power_law(1.0, 4.0, n_gaussians=n_gaussians)
    return FourierConvolution(kernel, method=method, **settings)


def structures(dtype=torch.float64, n_latent=2, device="cpu"):
    """A batch of three: two cells and a cluster."""
    torch.manual_seed(1)
    cells = torch.stack([torch.eye(3) * 7, torch.tensor([[7.0, 0, 0], [1.2, 6.5, 0], [-0.7, 0.9, 7.5]]), torch.eye(3)])
    counts = torch.tensor([6, 9, 5])
    batch = torch.repeat_interleave(torch.arange(3), counts)
    positions = (torch.rand(20, 3, dtype=torch.float64) * 6).to(dtype)
    pbc = torch.tensor([[True] * 3, [True] * 3, [False] * 3])
    latent = torch.randn(20, n_latent, dtype=torch.float64).to(dtype)
    return tuple(x.to(device) for x in (latent, positions, cells.to(dtype), pbc, batch))


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("method", ["auto", "direct", "separable", "mesh", "nufft"])
def test_a_given_plan_changes_nothing(method, device):
    layer = layer_of(method, tolerance=1e-9).to(device)
    latent, positions, cells, pbc, batch = structures(device=device)
    plan = layer.plan(cells, pbc, batch, positions)
    positions.requires_grad_()
    cells.requires_grad_()
    free = layer(latent, positions, cells, pbc, batch)
    expected = torch.autograd.grad(free.sum(), (positions, cells))
    with no_waiting(device):
        planned = layer(latent, positions, cells, pbc, batch, plan)
        gradients = torch.autograd.grad(planned.sum(), (positions, cells))
    torch.testing.assert_close(planned, free, atol=1e-10, rtol=0)
    torch.testing.assert_close(gradients, expected, atol=1e-10, rtol=0)
    moved = positions.detach() + 0.3
    torch.testing.assert_close(layer(latent, moved, cells, pbc, batch, plan), free.detach(), atol=1e-8, rtol=0)


def test_a_plan_for_other_structures_is_refused():
    layer = layer_of()
    latent, positions, cells, pbc, batch = structures(torch.float32)
    plan = layer.plan(cells, pbc, batch, positions)
    assert plan.covers(positions)
    assert not plan.covers(positions[:-1])
    with pytest.raises(ValueError, match="the plan is for 20 atoms in 3 structures"):
        layer(latent[:6], positions[:6], cells[:1], pbc[:1], plan=plan)


@pytest.fixture
def planned(device):
    """A layer, structures and a plan for them; the third is a slab."""
    layer = layer_of(method="direct").to(device)
    latent, positions, cells, pbc, batch = structures(device=device)
    cells[2] = torch.diag(torch.tensor([6.0, 6.0, 0.0]))
    pbc[2] = torch.tensor([True, True, False])
    return layer, (latent, positions, cells, pbc, batch), layer.plan(cells, pbc, batch, positions)


def others(latent, positions, cells, pbc, batch):
    """Structures that the plan for the given ones does not serve for, by what is different."""
    longer, apart = cells.clone(), positions.clone()
    longer[1] = longer[1] @ torch.diag(torch.tensor([1.0, 1.0, 1.15])).to(cells)
    apart[-1, 2] += 40.0  # across the slab
    as_many = torch.repeat_interleave(torch.arange(3, device=batch.device), torch.tensor([9, 6, 5]).to(batch.device))
    return {
        "atoms of structures": (latent, positions, cells, pbc, as_many),
        "periodicity": (latent, positions, cells, pbc.flip(0), batch),
        "all periodic": (latent, positions, cells, None, batch),
        "longer cell": (latent, positions, longer, pbc, batch),
        "atoms apart": (latent, apart, cells, pbc, batch),
    }


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("what", ["atoms of structures", "periodicity", "all periodic", "longer cell", "atoms apart"])
def test_a_plan_that_does_not_serve_gives_no_energy(what, planned, device):
    layer, given, plan = planned
    assert plan.covers(given[1], *given[2:])
    latent, positions, *more = others(*given)[what]
    if what != "all periodic":  # which is what leaving pbc out means in a forward pass
        assert not plan.covers(positions, *more)
    positions.requires_grad_()
    if device == "cpu":
        with pytest.raises(ValueError, match=r"plan is for other cells.*make a new one"):
            layer(latent, positions, *more, plan)
    torch.compiler.reset()
    energies = torch.compile(layer, fullgraph=True, backend="eager")(latent, positions, *more, plan)
    (gradient,) = torch.autograd.grad(energies.sum(), positions)
    assert energies.isnan().all()
    assert gradient.isnan().all()


@pytest.mark.usefixtures("double")
def test_a_plan_serves_while_cells_change_little_or_shrink(planned):
    layer, (latent, positions, cells, pbc, batch), plan = planned
    turn = torch.linalg.qr(torch.randn(3, 3)).Q.to(cells)
    scale = torch.tensor([1.05, 0.6, 1.05]).to(cells)[:, None, None]
    cells, positions = scale * cells @ turn, (scale[:, 0, :1][batch] * positions) @ turn
    found = layer(latent, positions, cells, pbc, batch, plan)
    torch.testing.assert_close(found, layer(latent, positions, cells, pbc, batch), rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("double")
def test_fixed_cells_are_exactly_those_of_the_plan_unless_derivatives_are_wanted(planned, device):
    layer, (latent, positions, cells, pbc, batch), _ = planned
    plan = layer.plan(cells, pbc, batch, positions, fixed_cells=True)
    other = 1.001 * cells
    assert plan.covers(positions, cells)
    assert not plan.covers(positions, other)
    if device == "cpu":
        with pytest.raises(ValueError, match="plan is for other cells"):
            layer(latent, positions, other, pbc, batch, plan)
    found = layer(latent, positions, other.clone().requires_grad_(), pbc, batch, plan)
    torch.testing.assert_close(found, layer(latent, positions, other, pbc, batch), rtol=1e-6, atol=1e-6)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("method", ["direct", "separable"])
def test_many_positions_are_evaluated_at_once(method, device):
    layer = layer_of(method).to(device)
    latent, positions, cells, pbc, batch = structures(device=device)
    plan = layer.plan(cells, pbc, batch, positions)

    def energy(moved):
        return layer(latent, moved, cells, pbc, batch, plan).sum()

    many = positions + 0.1 * torch.randn(3, *positions.shape).to(positions)
    energies, gradients = torch.vmap(energy)(many), torch.vmap(torch.func.grad(energy))(many)
    for found, gradient, moved in zip(energies, gradients, many.requires_grad_(), strict=True):
        wanted = layer(latent, moved, cells, pbc, batch).sum()
        torch.testing.assert_close(found, wanted)
        torch.testing.assert_close(gradient, torch.autograd.grad(wanted, moved)[0])


@pytest.mark.parametrize("method", ["direct", "separable", "mesh"])
def test_energy_in_single_precision_does_not_depend_on_whether_stress_is_wanted(method, device):
    """Cubic cells have whole shells of modes on the cutoff sphere; they count in both ways or in neither."""
    torch.manual_seed(0)
    latent, positions = torch.randn(24, 1).to(device), (torch.rand(24, 3) * 10).to(device)
    for edge in np.linspace(9.0, 11.0, 9):
        for shell in (2, 5, 6, 9):
            layer = layer_of(method, k_cut=2 * np.pi / edge * np.sqrt(shell)).to(device)
            cell = (torch.eye(3, device=device) * edge)[None]
            with_stress = layer(latent, positions, cell.clone().requires_grad_()).detach()
            torch.testing.assert_close(with_stress, layer(latent, positions, cell), rtol=1e-4, atol=1e-4)
            exact = layer.double()(latent.double(), positions.double(), cell.double())
            torch.testing.assert_close(with_stress.double(), exact, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("n_latent", [1, 3, 4])
@pytest.mark.parametrize("method", ["nufft"])
def test_nufft_copies_no_arguments(method, n_latent, device):
    layer = layer_of(method).to(device)
    latent, positions, cells, pbc, batch = structures(torch.float32, n_latent, device)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            positions.requires_grad_()
            energy = layer(latent, positions, cells, pbc, batch).sum()
            (forces,) = torch.autograd.grad(energy, positions, create_graph=True)
            forces.square().sum().backward()
            positions = positions.detach()


def energy_and_forces(layer, plan, latent, positions, cells, pbc, batch):
    def energy(moved):
        energies = layer(latent, moved, cells, pbc, batch, plan)
        return energies.sum(), energies

    gradient, energies = torch.func.grad(energy, has_aux=True)(positions)
    return energies, -gradient


@pytest.mark.usefixtures("double")
@pytest.mark.filterwarnings("ignore:Torchinductor does not support code generation for complex")
@pytest.mark.filterwarnings("ignore:TensorFloat32 tensor cores")  # which is said of double precision as well
@pytest.mark.parametrize(
    ("method", "backend"),
    [(method, backend) for method in ("direct", "separable", "mesh") for backend in ("eager", "aot_eager")]
    + [pytest.param("separable", "inductor", marks=pytest.mark.slow)],
)
def test_energy_and_forces_compile_in_one_graph_and_train(method, backend, device):
    latent, positions, cells, pbc, batch = structures(device=device)
    found = []
    for compiled in (False, True):
        torch.compiler.reset()
        layer = layer_of(method).to(device)
        plan = layer.plan(cells, pbc, batch, positions)
        function = torch.compile(energy_and_forces, fullgraph=True, backend=backend) if compiled else energy_and_forces
        inputs = latent.clone().requires_grad_()
        energies, forces = function(layer, plan, inputs, positions, cells, pbc, batch)
        (forces.square().sum() + energies.square().sum()).backward()
        found.append([energies, forces, inputs.grad, *(p.grad for p in layer.parameters())])
    for eager, compiled in zip(*found, strict=True):
        torch.testing.assert_close(compiled, eager, rtol=1e-10, atol=1e-10)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("method", ["direct", "separable", "mesh"])
def test_the_layer_exports(method, device):
    latent, positions, cells, pbc, batch = structures(device=device)
    layer = layer_of(method).to(device)
    plan = layer.plan(cells, pbc, batch, positions)

    class Planned(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, latent, positions, cells, pbc, batch):
            return self.layer(latent, positions, cells, pbc, batch, plan)

    exported = torch.export.export(Planned(), (latent, positions, cells, pbc, batch)).module()
    wanted = layer(latent, positions, cells, pbc, batch)
    torch.testing.assert_close(exported(latent, positions, cells, pbc, batch), wanted)
