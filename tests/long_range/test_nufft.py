import math

import pytest
import torch
from devices import NONDETERMINISM
from pytorch_finufft.functional import finufft_type1
from torch.autograd import gradcheck, gradgradcheck

from sognet.long_range.nufft import to_modes, to_points
from sognet.long_range.reciprocal_grid import half_space_modes

pytestmark = pytest.mark.usefixtures("double")
BOUNDS = (2, 3, 1)
SHAPE = (3, 7, 3)


@pytest.fixture
def device(device):
    if device == "cuda":
        pytest.importorskip("cufinufft", reason="needs cufinufft", exc_type=ImportError)
    return device


def options(device):
    """Of gradcheck; along random directions on a GPU, where every transform makes a plan."""
    return {"nondet_tol": NONDETERMINISM[device], "fast_mode": device == "cuda"}


def some_points(device, n_points=4):
    return ((torch.rand(3, n_points) * 2 - 1) * math.pi).to(device).requires_grad_()


def exponentials(points):
    modes, _ = half_space_modes(BOUNDS, points.device, points.dtype)
    return torch.exp(-1j * (modes @ points))  # (K, N)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_transforms_are_the_plain_sums(channels, device):
    points = some_points(device, 50)
    values = torch.randn(channels, 50).to(device)
    modes = torch.randn(channels, *SHAPE, dtype=torch.complex128).to(device)
    e = exponentials(points)
    torch.testing.assert_close(to_modes(points, values, BOUNDS, 1e-12).flatten(1), values.to(e) @ e.T)
    torch.testing.assert_close(to_points(points, modes, 1e-12), (modes.flatten(1) @ e.conj()).real)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_type_1_is_differentiable_twice(channels, device):
    inputs = some_points(device), torch.randn(channels, 4).to(device).requires_grad_()
    assert gradcheck(lambda x, v: to_modes(x, v, BOUNDS, 1e-14), inputs, **options(device))
    assert gradgradcheck(lambda x, v: to_modes(x, v, BOUNDS, 1e-14), inputs, **options(device))


@pytest.mark.parametrize("channels", [1, 2])
def test_type_2_is_differentiable_twice(channels, device):
    inputs = some_points(device), torch.randn(channels, *SHAPE, dtype=torch.complex128).to(device).requires_grad_()
    assert gradcheck(lambda x, s: to_points(x, s, 1e-14), inputs, **options(device))
    assert gradgradcheck(lambda x, s: to_points(x, s, 1e-14), inputs, **options(device))


def test_second_derivatives_are_right_where_the_naive_call_is_silently_wrong(device):
    """pytorch_finufft's own backward drops second derivatives without an error; ours agrees with the plain sum."""
    points, values = some_points(device, 20), torch.randn(1, 20).to(device).requires_grad_()
    modes, _ = half_space_modes(BOUNDS, points.device, points.dtype)
    smoothing = torch.exp(-0.1 * modes.square().sum(1))

    def force_loss_gradient(structure_factor):
        energy = (smoothing * structure_factor.abs().square()).sum()
        (force,) = torch.autograd.grad(energy, points, create_graph=True)
        return torch.autograd.grad(force.square().sum(), (points, values), allow_unused=True, materialize_grads=True)

    def naive(x, v):
        full = finufft_type1(x, v.to(torch.complex128), tuple(2 * b + 1 for b in BOUNDS), eps=1e-13, modeord=0)
        return full[:, BOUNDS[0] :].flatten(1)

    exact = force_loss_gradient(values.to(torch.complex128) @ exponentials(points).T)
    ours = force_loss_gradient(to_modes(points, values, BOUNDS, 1e-13).flatten(1))
    wrong = force_loss_gradient(naive(points, values))
    for a, b, c in zip(exact, ours, wrong, strict=True):
        assert (a - b).norm() < 1e-10 * a.norm()
        assert (a - c).norm() > 0.05 * a.norm(), "the trap is gone from pytorch_finufft: the wrapper may go, too"
