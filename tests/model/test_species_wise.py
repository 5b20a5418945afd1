"""A kernel for every pair of elements in a whole model: option, derivatives, learning, plans, checkpoints."""

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from structures import batch_of, deep_potential, graph_of, random_atoms

from sognet import SOGNet, load_model
from sognet.cli.configuration import CONFIGURATION
from sognet.data import Statistics
from sognet.long_range import power_law_convolution
from sognet.model.build import build_model
from sognet.model.checkpoint import model_entry

pytestmark = pytest.mark.usefixtures("double")
FOUND = Statistics(["Cl", "H", "Na"], {"Na": -1.0, "Cl": -2.0, "H": -0.1}, isolated_energies={}, force_rms=0.5)


def model_of(n_latent=2, n_species=2, **settings) -> SOGNet:
    torch.manual_seed(1)
    layer = power_law_convolution(cutoff=4.0, n_gaussians=4, tolerance=1e-9, n_species=n_species, **settings)
    with torch.no_grad():
        layer.kernel.relative_weights.mul_(1 + 0.5 * torch.randn_like(layer.kernel.relative_weights))
    return SOGNet(deep_potential(), layer, n_latent=n_latent, neutral=True)


def built(option: str) -> SOGNet:
    with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        config = compose("train", ["folder=somewhere", f"model.long_range.species_wise={option}"])
    torch.manual_seed(0)
    return build_model(config.model, FOUND)


def mixed(device):
    """A cell, a slab and a cluster."""
    frames = [random_atoms(n, seed=n, pbc=pbc) for n, pbc in ((12, True), (9, [True, True, False]), (7, False))]
    return batch_of(*frames).to(device)


def test_the_option_gives_each_pair_of_elements_a_kernel_and_starts_as_without():
    usual, by_pairs = built("false"), built("true")
    assert (usual.long_range.n_species, by_pairs.long_range.n_species) == (1, 3)
    assert (usual.long_range.kernel.n_channels, by_pairs.long_range.kernel.n_channels) == (1, 6)
    batch = mixed("cpu")
    with torch.no_grad():
        for model in (usual, by_pairs):
            model.double().element_head.values.copy_(torch.tensor([[-1.0], [0.2], [1.0]]))
    for name, value in usual(batch).items():
        torch.testing.assert_close(by_pairs(batch)[name], value, rtol=1e-9, atol=1e-9)


def test_forces_and_stress_are_finite_differences(device):
    atoms = random_atoms(8)
    model = model_of(remove_self_interaction=True).to(device).eval()
    out = model(graph_of(atoms).to(device))

    def energy(strain, displacement):
        moved = atoms.copy()
        moved.positions += displacement
        moved.set_cell(moved.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        return model(graph_of(moved).to(device), forces=False, stress=False)["energy"].item()

    rng = np.random.default_rng(0)
    shift, strain = rng.normal(size=(8, 3)), rng.normal(size=(3, 3))
    strain = strain + strain.T
    step = 1e-4
    slope = (energy(0, step * shift) - energy(0, -step * shift)) / (2 * step)
    assert -(out["forces"].cpu().numpy() * shift).sum() == pytest.approx(slope, rel=1e-5)
    slope = (energy(step * strain, 0) - energy(-step * strain, 0)) / (2 * step)
    assert (out["stress"][0].cpu().numpy() * strain).sum() * atoms.get_volume() == pytest.approx(slope, rel=1e-5)


def test_a_force_loss_reaches_every_pair_and_energies_of_atoms_add_up(device):
    model, batch = model_of().to(device).train(), mixed(device)
    out = model(batch, energies=True)
    sums = torch.zeros(3, device=device).index_add(0, batch.batch, out["energies"])
    torch.testing.assert_close(sums, out["energy"].detach())
    out["forces"].square().sum().backward()
    for parameter in model.long_range.kernel.parameters():
        assert parameter.grad.abs().sum(1).all()


@pytest.mark.parametrize("method", ["direct", "separable"])
def test_plans_serve_and_compile(method, device):
    model, batch = model_of(method=method).to(device).eval(), batch_of(random_atoms(), random_atoms(9)).to(device)
    plan = model.plan(batch)
    assert model.n_long_range == 4
    torch.compiler.reset()
    compiled = torch.compile(lambda graph, plan: model(graph, plan=plan), fullgraph=True, backend="eager")
    for name, value in model(batch).items():
        torch.testing.assert_close(compiled(batch, plan)[name], value)


def test_a_checkpoint_keeps_the_kernels_of_pairs(tmp_path):
    model, graph = model_of(n_latent=1).eval(), graph_of(random_atoms())
    weights = {f"model.{k}": v for k, v in model.state_dict().items()}
    torch.save({"sognet": model_entry(model), "state_dict": weights}, tmp_path / "m.ckpt")
    loaded = load_model(tmp_path / "m.ckpt", dtype=torch.float64)
    for name, value in model(graph).items():
        torch.testing.assert_close(loaded(graph)[name], value, rtol=0, atol=0)


def test_another_number_of_species_is_refused():
    with pytest.raises(ValueError, match="kernels of pairs of 3 species, and the short range has 2: Na, Cl"):
        model_of(n_species=3)
