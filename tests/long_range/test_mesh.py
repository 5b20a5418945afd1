"""B-spline meshes: exact derivatives of every order, and errors within the tolerance."""

import math

import numpy as np
import pytest
import torch
from devices import NONDETERMINISM
from scipy.interpolate import BSpline
from torch.autograd import grad, gradcheck, gradgradcheck

from sognet.long_range import FourierConvolution, SumOfGaussians, bspline
from sognet.long_range.mesh import spread
from sognet.long_range.mesh_modes import MeshSize, fixed_mesh_modes, to_modes
from sognet.long_range.mesh_size import ORDER_AND_OVERSAMPLING
from sognet.long_range.reciprocal_grid import ModesOf

pytestmark = pytest.mark.usefixtures("double")
SHAPE = (5, 7, 6)
CELL = (11 * torch.eye(3, dtype=torch.float64)).numpy().tobytes()
K_CUT = 2.01 * 2 * math.pi / 11


def modes_of(shape=SHAPE, order=4, device="cpu"):
    like = torch.device(device), torch.float64
    return fixed_mesh_modes(MeshSize(shape, order), ModesOf(CELL, (2, 2, 2), K_CUT, True), like)


@pytest.mark.parametrize("order", [4, 5, 8, 12])
@pytest.mark.parametrize("n_derivatives", [0, 1, 2])
def test_weights_are_those_of_a_cardinal_spline(order, n_derivatives, device):
    spline = BSpline.basis_element(np.arange(order + 1) - order / 2, extrapolate=False)
    for _ in range(n_derivatives):
        spline = spline.derivative()
    u = 20 * torch.rand(50) - 5
    first, offset = bspline.start_and_offset(u.to(device), order)
    found = bspline.weights(offset, order, n_derivatives)[:, -1].cpu()
    at = u[:, None] - first.cpu()[:, None] - torch.arange(order)
    torch.testing.assert_close(found, torch.tensor(np.nan_to_num(spline(at.numpy()))), rtol=1e-10, atol=1e-12)
    total = bspline.weights(offset, order, n_derivatives).sum(-1)[:, -1]
    assert (total - float(n_derivatives == 0)).abs().max() < 1e-14


@pytest.mark.parametrize("order", [4, 5])
def test_spreading_is_differentiable_three_times(order, device):
    points, values = (20 * torch.rand(2, 3, 3) - 5).to(device), torch.randn(2, 3, 2).to(device)
    points.requires_grad_(), values.requires_grad_()
    tolerance = {"nondet_tol": NONDETERMINISM[device]}

    def on_mesh(x, v):
        return spread(x, v, SHAPE, order)

    def gradients(x, v):
        return grad(spread(x, v, SHAPE, order + 2)[:, :, :2, :2, :2].pow(3).sum(), (x, v), create_graph=True)

    torch.testing.assert_close(on_mesh(points, values).sum((2, 3, 4)), values.sum(1))
    assert gradcheck(on_mesh, (points, values), **tolerance)
    assert gradgradcheck(on_mesh, (points, values), **tolerance)
    assert gradgradcheck(gradients, (points, values), fast_mode=True, **tolerance)


@pytest.mark.parametrize("n_channels", [2, 3, 4])
def test_channels_do_not_see_one_another(n_channels, device):
    points, values = (20 * torch.rand(2, 5, 3)).to(device), torch.randn(2, 5, n_channels).to(device)
    singly = [spread(points, values[..., c : c + 1], SHAPE, 4) for c in range(n_channels)]
    torch.testing.assert_close(spread(points, values, SHAPE, 4), torch.cat(singly, 1))


@pytest.mark.parametrize("shape", [SHAPE, (6, 8, 7)])
def test_modes_of_a_mesh_are_the_plain_sum_and_differentiable_twice(shape, device):
    modes = modes_of(shape, device=device)
    mesh = torch.randn(2, 1, *shape).to(device).requires_grad_()
    plain = torch.fft.fftn(mesh, dim=(2, 3, 4))[..., : shape[2] // 2 + 1].flatten(2)
    torch.testing.assert_close(to_modes(mesh, modes), plain[:, :, modes.index] * modes.scale)
    assert gradcheck(lambda x: to_modes(x, modes), mesh)
    assert gradgradcheck(lambda x: to_modes(x, modes), mesh)


@pytest.mark.parametrize("chunk", [1, 1000])
def test_atoms_are_worked_on_in_parts_without_a_difference(chunk, device, monkeypatch):
    points, values = (20 * torch.rand(2, 9, 3)).to(device), torch.randn(2, 9, 2).to(device)
    points.requires_grad_(), values.requires_grad_()
    whole = spread(points, values, SHAPE, 5)
    found = [whole, *grad(whole.square().sum(), (points, values))]
    monkeypatch.setattr("sognet.long_range.mesh.CHUNK", {device: chunk})
    parts = spread(points, values, SHAPE, 5)
    for a, b in zip(found, [parts, *grad(parts.square().sum(), (points, values))], strict=True):
        torch.testing.assert_close(a, b)


def random_cell(seed: int, device: str, n_atoms: int = 150, n_channels: int = 2):
    torch.manual_seed(seed)
    cell = (torch.eye(3) + 0.4 * (torch.rand(3, 3) - 0.5)) * (n_atoms / 0.1) ** (1 / 3)
    latent = torch.randn(n_atoms, n_channels)
    structure = latent - latent.mean(0), torch.rand(n_atoms, 3) @ cell, cell[None]
    return tuple(x.to(device) for x in structure)


def forces(layer, latent, positions, cell):
    positions = positions.clone().requires_grad_()
    return grad(layer(latent, positions, cell).sum(), positions)[0]


@pytest.mark.parametrize("tolerance", [*ORDER_AND_OVERSAMPLING, 3e-5])
@pytest.mark.parametrize("widest", [False, True])
def test_forces_are_within_the_tolerance_in_random_triclinic_cells(tolerance, widest, device):
    """For the initial kernel, and with its bandwidths near the largest that training reaches."""
    kernel = SumOfGaussians.power_law(cutoff=5.0, n_gaussians=8).to(device)
    with torch.no_grad():
        kernel.bandwidth_shift += 2.0 * widest
    layer = FourierConvolution(kernel, tolerance=tolerance, method="mesh")
    exact = FourierConvolution(kernel, k_cut=layer.k_cut, method="separable")
    for seed in range(20 if tolerance > 1e-7 else 3):
        structure = random_cell(seed, device)
        found, wanted = forces(layer, *structure), forces(exact, *structure)
        assert (found - wanted).norm() < tolerance * wanted.norm()


@pytest.mark.parametrize(("tolerance", "dtype", "allowed"), [(1e-9, torch.float64, 1e-9), (1e-6, torch.float32, 1e-5)])
def test_the_mode_zero_of_a_net_charge_makes_no_force(tolerance, dtype, allowed, device):
    """Ten million eV, in which errors of the weights would drown the forces."""
    kernel = SumOfGaussians.power_law(cutoff=5.0, n_gaussians=12).to(device)
    latent, *where = random_cell(0, device)
    structure = latent + 1.0, *where
    exact = forces(FourierConvolution(kernel, tolerance=1e-10, method="separable"), *structure)
    layer = FourierConvolution(kernel, tolerance=tolerance, method="mesh", include_zero_mode=True).to(dtype)
    found = forces(layer, *(x.to(dtype) for x in structure)).double()
    assert (found - exact).norm() < allowed * exact.norm()


def test_single_precision(device):
    kernel = SumOfGaussians.power_law(cutoff=5.0, n_gaussians=8).to(device)
    structure = random_cell(0, device)
    exact = forces(FourierConvolution(kernel, tolerance=1e-6, method="separable"), *structure)
    layer = FourierConvolution(kernel, tolerance=1e-6, method="mesh").float()
    found = forces(layer, *(x.float() for x in structure)).double()
    assert (found - exact).norm() < 1e-5 * exact.norm()
