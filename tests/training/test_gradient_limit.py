"""Gradients are shortened to their usual size."""

import lightning
import pytest
import torch
from fitting import fit
from structures import small_model

from sognet.training.gradient_limit import GradientLimit
from sognet.training.loss import PotentialLoss
from sognet.training.module import PotentialModule


def gradients(limit, norms):
    """Norms after the limit, of two parameters whose gradients together have these norms."""
    parameters = [torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(1))]
    found = []
    for norm in norms:
        for parameter, part in zip(parameters, ([0.36, 0.48], [0.8]), strict=True):
            parameter.grad = norm * torch.tensor(part)
        limit(parameters)
        together = torch.cat([p.grad for p in parameters])
        torch.testing.assert_close(together / together.norm(), torch.tensor([0.36, 0.48, 0.8]))
        found.append(together.norm().item())
    return found


def test_a_gradient_that_stands_out_has_the_usual_size_and_its_direction():
    found = gradients(GradientLimit(2.0), [1.0, 1.0, 1.1, 0.9, 1.0, 1.5, 500.0, 0.1])
    assert found == pytest.approx([1.0, 1.0, 1.1, 0.9, 1.0, 1.5, 2.0, 0.1])


def test_the_usual_size_follows_the_training():
    found = gradients(GradientLimit(1.0, memory=10), [1.0] * 10 + [0.01] * 10 + [1.0])
    assert found[-1] == pytest.approx(0.01)


def test_a_limit_goes_on_from_a_checkpoint():
    norms = [1.0, 3.0, 2.0, 5.0, 4.0, 2.0, 30.0, 7.0]
    whole, first, second = (GradientLimit(1.0) for _ in range(3))
    half = gradients(first, norms[:5])
    second.load(first.state())
    assert half + gradients(second, norms[5:]) == gradients(whole, norms)


def test_a_limit_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="gradient_limit must be positive"):
        GradientLimit(0.0)


class Gradients(lightning.Callback):
    """Norms of the gradients that steps are made of."""

    def __init__(self):
        self.norms = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
        self.norms.append(torch.nn.utils.get_total_norm(gradients).item())


def test_no_structure_moves_the_weights_much_further_than_the_others(graphs):
    graphs.structures[2].forces = 1000 * graphs.structures[2].forces
    longest = {}
    for limit in (None, 1.0):
        torch.manual_seed(0)
        found = Gradients()
        module = PotentialModule(
            small_model(), PotentialLoss(0.0, 1.0), lambda p: torch.optim.SGD(p, lr=0.0), gradient_limit=limit
        )
        fit(module, graphs, [found], batch_size=1, max_epochs=4)
        norms = torch.tensor(found.norms)[8:]
        longest[limit] = (norms.max() / norms.median()).item()
    assert longest[None] > 100
    assert longest[1.0] < 5
