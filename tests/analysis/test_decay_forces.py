"""Forces by parameter, against the model's own and against finite changes of its weights."""

import numpy as np
import pytest
import torch
from structures import deep_potential, labelled_atoms, small_model

from sognet import SOGNet
from sognet.analysis.decay_forces import RADIAL_FUNCTIONS, force_columns
from sognet.analysis.long_range_share import long_range_forces
from sognet.data import Keys, Structure
from sognet.data.graph import build_batch
from sognet.long_range import FourierConvolution, SumOfGaussians
from sognet.long_range.ladder import ladder_kernel, ladder_widths
from sognet.long_range.species_pairs import kernel_of_pairs

pytestmark = pytest.mark.usefixtures("double")

WIDTHS = ladder_widths(4.0, 15.0)


def structure() -> Structure:
    return Structure.from_atoms(labelled_atoms(27, cell=15 * np.eye(3)), Keys(), "test")


def forces(model: SOGNet) -> np.ndarray:
    return model(build_batch([structure()], model.cutoff), stress=False)["forces"].detach().numpy().reshape(-1)


@pytest.mark.parametrize("charges", [None, {"Na": 1.0, "Cl": -1.0}])
def test_gaussians_of_the_ladder_add_up_to_the_kernel_that_is_their_sum(charges):
    layer = FourierConvolution(ladder_kernel(WIDTHS), tolerance=1e-6)
    model = SOGNet(deep_potential(), layer, n_latent=1, charges=charges).double().eval()
    (columns,) = force_columns(model, structure(), WIDTHS)
    scale = np.abs(columns.learned).max()
    np.testing.assert_allclose(columns.gaussians.sum(1), columns.learned, atol=2e-3 * scale)
    errors = structure().forces.reshape(-1) - forces(model)
    np.testing.assert_allclose(columns.wanted - columns.learned, errors, atol=1e-10)


def test_each_channel_is_wanted_beside_the_others():
    layer = FourierConvolution(SumOfGaussians.power_law(cutoff=4.0, exponents=[1, 3], n_gaussians=4))
    model = SOGNet(deep_potential(), layer, n_latent=2).double().eval()
    first, second = force_columns(model, structure(), WIDTHS)
    np.testing.assert_allclose(first.wanted - first.learned, second.wanted - second.learned, atol=1e-12)
    np.testing.assert_allclose(first.others[:, -1], second.learned)
    assert np.abs(first.learned - second.learned).max() > 0


@pytest.mark.parametrize("shared", [True, False])
def test_kernels_of_pairs_of_elements_are_channels(shared):
    """Their forces add up to those of the layer, and so does a ladder whose kernels are those of the layer."""
    exponents = [1] if shared else [1, 3]
    ladder = ladder_kernel(WIDTHS, len(exponents))
    layer = FourierConvolution(kernel_of_pairs(ladder, 2), tolerance=1e-6, n_species=2)
    with torch.no_grad():
        layer.kernel.relative_weights.mul_(torch.arange(1.0, layer.kernel.n_channels + 1)[:, None])
    model = SOGNet(deep_potential(), layer, n_latent=2).double().eval()
    columns = force_columns(model, structure(), WIDTHS)
    assert len(columns) == (3 if shared else 6)
    of_layer = sum(c.learned for c in columns)
    errors = structure().forces.reshape(-1) - forces(model)
    for number, channel in enumerate(columns):
        np.testing.assert_allclose(channel.wanted - channel.learned, errors, atol=1e-10)
        scale = np.abs(channel.learned).max()
        np.testing.assert_allclose((number + 1) * channel.gaussians.sum(1), channel.learned, atol=2e-3 * scale)
    expected = long_range_forces(model, build_batch([structure()], model.cutoff)).numpy().reshape(-1)
    np.testing.assert_allclose(of_layer, expected, atol=1e-10)


def test_columns_of_the_energy_network_are_changes_of_forces():
    model = small_model(n_latent=1).eval()
    (columns,) = force_columns(model, structure(), WIDTHS)
    last = [m for m in model.energy_head.network.modules() if isinstance(m, torch.nn.Linear)][-1].weight
    before = forces(model)
    with torch.no_grad():
        last[0, 3] += 1e-3
    change = (forces(model) - before) / 1e-3
    of_pairs = 3 * 10
    np.testing.assert_allclose(columns.others[:, of_pairs + 3], change, atol=1e-8)
    assert np.linalg.matrix_rank(columns.others[:, :of_pairs]) > 2


def test_pairs_of_elements_that_are_not_there_are_left_out():
    """What ninety elements of a trained model of another package would add is zero, and parameters without data."""
    torch.manual_seed(0)
    layer = FourierConvolution(ladder_kernel(WIDTHS), tolerance=1e-6)
    model = SOGNet(
        deep_potential(species=["H", "Na", "Cl", "Cs"]), layer, charges={"Na": 1.0, "Cl": -1.0, "H": 0, "Cs": 0}
    )
    model = model.double().eval()
    (own,) = force_columns(model, structure(), WIDTHS)
    (more,) = force_columns(model, structure(), WIDTHS, [1, 11, 17])
    assert more.others.shape[1] == own.others.shape[1] + 3 * RADIAL_FUNCTIONS
    filled = [columns.others[:, columns.others.any(0)] for columns in (more, own)]
    np.testing.assert_array_equal(*filled)
