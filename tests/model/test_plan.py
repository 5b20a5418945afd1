"""Plans of a whole model: they change nothing, and with one the model compiles in one graph and learns the same."""

import copy
import pickle

import pytest
import torch
from devices import no_waiting
from structures import batch_of, deep_potential, random_atoms

from sognet import SOGNet
from sognet.long_range import FourierConvolution, SumOfGaussians
from sognet.model.plan import Planner
from sognet.short_range import CACE

pytestmark = pytest.mark.usefixtures("double")


@pytest.fixture
def graph(device):
    """Two cells and a cluster."""
    return batch_of(random_atoms(8), random_atoms(12, seed=1), random_atoms(5, seed=2, pbc=False)).to(device)


def model_of(short_range, method):
    if short_range == "cace":
        descriptor = CACE(["Na", "Cl"], 4.0, n_bessel=3, n_radial=3, l_max=2, n_embedding=2, n_message_passing=1)
    else:
        descriptor = deep_potential()
    layer = FourierConvolution(SumOfGaussians.power_law(1.0, 4.0, n_gaussians=4), method=method)
    return SOGNet(descriptor, layer, n_latent=2, neutral=True, element_latents=True, total_charge=True)


def compare(found, wanted, tolerance=1e-10):
    for name, value in wanted.items():
        torch.testing.assert_close(
            found[name], value, rtol=tolerance, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize("fixed_cells", [False, True])
@pytest.mark.parametrize("stress", [False, True])
@pytest.mark.parametrize("short_range", ["cace", "deep_potential"])
def test_a_plan_changes_nothing(short_range, stress, fixed_cells, graph, device):
    model = model_of(short_range, "auto").to(device).eval()
    wanted = model(graph, stress=stress)
    plan = model.plan(graph, fixed_cells)
    with no_waiting(device):
        found = model(graph, stress=stress, plan=plan)
    compare(found, wanted)
    moved = copy.copy(graph)
    moved.pos = graph.pos + 0.01
    compare(model(moved, stress=stress, plan=plan), model(moved, stress=stress))


def test_a_plan_made_in_inference_mode_trains(graph, device):
    """A slab in the batch: its plan holds tensors of its own."""
    model = model_of("deep_potential", "auto").to(device)
    graph.pbc[1, 2] = False
    with torch.inference_mode():
        plan = model.plan(graph)
    found, wanted = model(graph, plan=plan), model(graph)
    compare({"forces": found["forces"]}, {"forces": wanted["forces"]})
    found["forces"].square().sum().backward()


def test_a_batch_may_bring_its_plan(graph, device):
    """As worker processes make it: pickled, from what the model is before it moves, and moved with the batch."""
    model = model_of("cace", "auto").to(device).eval()
    wanted = model(graph)
    planner = pickle.loads(pickle.dumps(Planner(model, torch.device(device))))
    graph = graph.cpu()
    graph.plan = planner(graph)
    found = model(graph.to(device))
    compare(found, wanted)
    on_other_device = graph.to("meta").plan
    assert on_other_device.short_range.slots.device.type == "meta"
    assert on_other_device.short_range.pairs.element.device.type == "meta"
    assert on_other_device.long_range.groups[0].atoms.device.type == "meta"


def test_a_plan_says_which_positions_of_a_slab_it_serves_for():
    model = model_of("cace", "auto")
    slab = random_atoms(8)
    slab.pbc = [True, True, False]
    graph = batch_of(slab, random_atoms(12, seed=1))
    plan = model.plan(graph)
    assert plan.covers(graph.pos)
    away = graph.pos.clone()
    away[0, 2] += 50.0
    assert not plan.covers(away)
    away = graph.pos.clone()
    away[-1, 2] += 50.0  # which is periodic
    assert plan.covers(away)


@pytest.mark.parametrize("short_range", ["cace", "deep_potential"])
@pytest.mark.parametrize("what", ["elements", "edges", "fewer edges", "cell"])
def test_a_plan_for_another_graph_gives_no_energy(what, short_range, graph, device):
    model = model_of(short_range, "direct").to(device).eval()
    plan = model.plan(graph)
    other = graph.clone()
    if what == "elements":
        other.z = other.z.roll(1)
    elif what == "edges":
        other.edge_index[0, 0] = (other.edge_index[0, 0] + 1) % 8
    elif what == "fewer edges":
        other.edge_index, other.cell_shift = other.edge_index[:, :-1], other.cell_shift[:-1]
    else:
        other.cell[0] = 1.3 * other.cell[0]
    if device == "cpu" or what == "fewer edges":
        with pytest.raises(ValueError, match=r"plan is for other (edges|cells).*make a new one"):
            model(other, plan=plan)
    if what == "fewer edges":
        return
    torch.compiler.reset()
    found = torch.compile(lambda graph, plan: model(graph, plan=plan), fullgraph=True, backend="eager")(other, plan)
    assert found["energy"].isnan().all()
    assert found["forces"].isnan().all()


def outputs_and_gradients(function, model, graph, plan):
    model.zero_grad()
    out = function(graph, plan)
    loss = out["forces"].square().sum() + 1e-4 * out["energy"].square().sum() + out["stress"].square().sum()
    loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {name: value.detach() for name, value in out.items()} | gradients


@pytest.mark.filterwarnings("ignore:Torchinductor does not support code generation for complex")
@pytest.mark.filterwarnings("ignore:TensorFloat32 tensor cores")  # which is said of double precision as well
@pytest.mark.parametrize(
    ("short_range", "method", "backend"),
    [
        ("cace", "separable", "eager"),
        ("cace", "direct", "eager"),
        ("deep_potential", "separable", "eager"),
        ("deep_potential", "direct", "eager"),
        ("deep_potential", "direct", "aot_eager"),
    ],
)
def test_energy_forces_and_stress_compile_in_one_graph_and_train(short_range, method, backend, graph, device):
    model = model_of(short_range, method).to(device).train()
    plan = model.plan(graph)

    def evaluated(graph, plan):
        return model(graph, plan=plan)

    torch.compiler.reset()
    compiled = torch.compile(evaluated, fullgraph=True, backend=backend)
    wanted = outputs_and_gradients(evaluated, model, graph, plan)
    compare(outputs_and_gradients(compiled, model, graph, plan), wanted)
    assert any("mixing" in name or "core" in name for name in wanted)
    assert any("long_range.kernel" in name for name in wanted)
