"""Where positions are counted from, in batches."""

import torch

from sognet.model.origins import near_first_atom


def test_structures_far_away_are_moved_as_a_whole_and_others_stay():
    positions = torch.randn(7, 3, dtype=torch.float64)
    batch = torch.tensor([0, 0, 1, 1, 1, 2, 2])
    away = positions.clone()
    away[2:5] += torch.tensor([500.0, 0.0, -3.0])
    moved = near_first_atom(away, batch, 3)
    torch.testing.assert_close(moved[[0, 1, 5, 6]], positions[[0, 1, 5, 6]], rtol=0, atol=0)
    torch.testing.assert_close(moved[2:5], positions[2:5] - positions[2], rtol=0, atol=1e-12)


def test_derivatives_by_positions_stay():
    positions = (torch.randn(4, 3, dtype=torch.float64) + 300).requires_grad_()
    (gradient,) = torch.autograd.grad(near_first_atom(positions, torch.zeros(4, dtype=torch.long), 1).sum(), positions)
    torch.testing.assert_close(gradient, torch.ones_like(gradient))
