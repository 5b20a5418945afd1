"""Loss, metrics and optimizers."""

import copy
from functools import partial
from types import SimpleNamespace

import lightning
import numpy as np
import pytest
import torch
from ase.io import read
from devices import no_waiting
from fitting import fit
from structures import small_model
from torch.optim import AdamW
from torch_geometric.data import Batch

from sognet.data import Splits, StructureDataModule
from sognet.data.loading.batching import PlannedBatch
from sognet.data.loading.loader import PlannedGraphs
from sognet.errors import InputError
from sognet.model import load_model
from sognet.training.callbacks.data_loading import DataLoadingMonitor
from sognet.training.callbacks.float64 import SwitchToFloat64
from sognet.training.callbacks.non_finite import TerminateOnNonFiniteGradient
from sognet.training.loss import PotentialLoss
from sognet.training.metrics import PotentialErrors
from sognet.training.module import PotentialModule
from sognet.training.optimizers import LBFGS

pytestmark = pytest.mark.usefixtures("double")


def batch_of(graphs, members, device):
    return Batch.from_data_list([graphs[i] for i in members]).to(device)


def test_loss_of_a_batch_is_the_mean_of_its_structures(graphs, device):
    """So that ranks and accumulated batches of structures of unequal size add up to the whole."""
    model, loss = small_model(n_latent=1).to(device).train(), PotentialLoss(1.0, 100.0, 10.0, 0.1)
    out = model(batch := batch_of(graphs, range(4), device))
    with no_waiting(device):
        terms = loss(out, batch)
    alone = [loss(model(b := batch_of(graphs, [i], device)), b) for i in range(4)]
    for name, value in terms.items():
        torch.testing.assert_close(value, torch.stack([t[name] for t in alone]).mean())


def test_batches_larger_than_the_data_hold_all_of_them(graphs):
    """And neither is skipped nor an error (metatrain#521, metatrain#711)."""
    trained = []
    for batch_size in (4, 500):
        module = PotentialModule(small_model(), PotentialLoss(1.0, 1.0), partial(AdamW, lr=0.1))
        assert fit(module, graphs, [], batch_size=batch_size, max_epochs=2).global_step == 2
        trained.append(module.model.state_dict())
    for name, value in trained[0].items():
        torch.testing.assert_close(trained[1][name], value, rtol=0, atol=0)


def test_weights_of_the_loss_change_by_stage_in_training_alone(graphs):
    seen = []

    class Weights(lightning.Callback):
        def on_train_batch_end(self, trainer, pl_module, *_):
            seen.append((pl_module.training_loss.energy, pl_module.training_loss.forces, pl_module.loss.energy))

    loss = PotentialLoss(100.0, 1.0, stages=[{"epochs": 2, "energy": 1.0}, {"epochs": 1, "forces": 7.0}])
    fit(PotentialModule(small_model(), loss, partial(AdamW, lr=0.1)), graphs, [Weights()], max_epochs=4)
    assert seen == [(1.0, 1.0, 100.0), (1.0, 1.0, 100.0), (100.0, 7.0, 100.0), (100.0, 1.0, 100.0)]
    with pytest.raises(ValueError, match="epochs"):
        PotentialLoss(1.0, 1.0, stages=[{"energy": 1.0}])


def test_a_weight_of_the_kernel_keeps_it_near_its_start(graphs):
    changes = []
    for weight in (0.0, 1e3):
        module = PotentialModule(small_model(), PotentialLoss(1.0, 1.0, kernel=weight), partial(AdamW, lr=0.05))
        assert module.model.long_range.kernel.change().item() == 0.0
        fit(module, graphs, [], max_epochs=30)
        changes.append(module.model.long_range.kernel.change().item())
    assert changes[0] > 1e-2
    assert changes[1] < 1e-2 * changes[0]


def test_metrics_count_every_structure_once(graphs, device):
    model = small_model().to(device).eval()
    whole, shared = PotentialErrors().to(device), PotentialErrors().to(device)
    whole.update(model(batch := batch_of(graphs, range(4), device)), batch)
    planned = PlannedGraphs(graphs)
    for members, weight in (([0, 2], 1.0), ([1, 3], 1.0), ([2], 0.0)):
        shared.update(model(batch := planned[PlannedBatch(members, weight)].to(device)), batch)
    assert shared.compute() == pytest.approx(whole.compute())


def test_metrics_are_in_milli_electronvolts(graphs, device):
    batch = batch_of(graphs, range(2), device)  # 5 and 12 atoms
    n_atoms = torch.tensor([5, 12], device=device)
    out = {
        "energy": batch.energy + 0.003 * n_atoms,
        "forces": batch.forces + 0.02,
        "stress": batch.stress,
    }
    metric = PotentialErrors().to(device)
    metric.update(out, batch)
    errors = metric.compute()
    assert errors["energy_rmse"] == pytest.approx(3.0)
    assert errors["energy_mae"] == pytest.approx(3.0)
    assert errors["force_rmse"] == pytest.approx(20.0)
    assert errors["stress_rmse"] == pytest.approx(0.0, abs=1e-9)


def test_lbfgs_finds_a_minimum(device):
    x = torch.nn.Parameter(torch.tensor([-1.2, 1.0], device=device))
    optimizer = LBFGS([x])

    def closure():
        optimizer.zero_grad()
        value = (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
        value.backward()
        return value

    for _ in range(6):
        optimizer.step(closure)
    torch.testing.assert_close(x.detach().cpu(), torch.ones(2), atol=1e-5, rtol=0)


def test_the_neutrality_of_several_latents_is_that_of_the_first_to_the_charge_and_of_the_others_to_zero(graphs, device):
    batch = batch_of(graphs, range(4), device)
    batch.charge = torch.tensor([1.0, 0.0, -2.0, 0.0], device=device)
    out = small_model(n_latent=3).to(device)(batch)
    sums = torch.zeros(4, 3, device=device).index_add(0, batch.batch, out["latent"])
    expected = (sums - torch.nn.functional.pad(batch.charge[:, None], (0, 2))).square().sum() / 4
    terms = PotentialLoss(0.0, 0.0, neutrality=0.5)(out, batch)
    torch.testing.assert_close(terms["neutrality"], 0.5 * expected)
    assert terms["loss"] == terms["neutrality"]


def test_the_kernel_has_its_own_learning_rate_and_weight_decay():
    model = small_model()
    module = PotentialModule(model, PotentialLoss(1.0, 1.0), partial(AdamW, lr=0.1), None, 3.0, 0.5)
    rest, kernel = module.configure_optimizers()["optimizer"].param_groups
    assert (rest["lr"], kernel["lr"], kernel["weight_decay"]) == (0.1, pytest.approx(0.3), 0.5)
    assert {id(p) for p in kernel["params"]} == {id(p) for p in model.long_range.parameters()}
    assert len(rest["params"]) + len(kernel["params"]) == len(list(model.parameters()))
    with pytest.raises(InputError, match="kernel_weight_decay"):
        PotentialModule(model, PotentialLoss(1.0, 1.0), LBFGS, None, 1.0, 0.5).configure_optimizers()


def test_the_latents_have_their_own_learning_rate():
    model = small_model()
    settings = {"kernel_lr_factor": 3.0, "latent_lr_factor": 5.0}
    module = PotentialModule(model, PotentialLoss(1.0, 1.0), partial(AdamW, lr=0.1, weight_decay=0.2), **settings)
    rest, kernel, latents = module.configure_optimizers()["optimizer"].param_groups
    assert [rest["lr"], kernel["lr"], latents["lr"]] == pytest.approx([0.1, 0.3, 0.5])
    assert [rest["weight_decay"], kernel["weight_decay"], latents["weight_decay"]] == [0.2, 0.0, 0.2]
    assert {id(p) for p in latents["params"]} == {id(p) for p in model.latent_head.parameters()}
    assert sum(len(g["params"]) for g in (rest, kernel, latents)) == len(list(model.parameters()))
    alone = PotentialModule(model, PotentialLoss(1.0, 1.0), partial(AdamW, lr=0.1), latent_lr_factor=5.0)
    assert [g["lr"] for g in alone.configure_optimizers()["optimizer"].param_groups] == pytest.approx([0.1, 0.5])


def test_a_kernel_that_is_frozen_has_no_group_of_its_own():
    model = small_model()
    model.long_range.requires_grad_(False)
    settings = {"kernel_lr_factor": 3.0, "latent_lr_factor": 5.0, "kernel_weight_decay": 0.5}
    module = PotentialModule(model, PotentialLoss(1.0, 1.0), partial(AdamW, lr=0.1, weight_decay=0.2), **settings)
    optimizer = module.configure_optimizers()["optimizer"]
    module.optimizers = lambda: optimizer
    module.on_train_epoch_start()
    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([0.1, 0.5])
    assert [g["weight_decay"] for g in optimizer.param_groups] == [0.2, 0.2]


@pytest.mark.parametrize(("lr", "expected"), [(0.1, 0.5), (0.075, 0.25), (0.05, 0.0), (0.01, 0.0)])
def test_the_kernels_weight_decay_fades_with_the_learning_rate(lr, expected):
    module = PotentialModule(small_model(), PotentialLoss(1.0, 1.0), partial(AdamW, lr=0.1), None, 1.0, 0.5)
    optimizer = module.configure_optimizers()["optimizer"]
    optimizer.param_groups[1] |= {"initial_lr": 0.1, "lr": lr}
    module.optimizers = lambda: optimizer
    module.on_train_epoch_start()
    assert optimizer.param_groups[1]["weight_decay"] == pytest.approx(expected)


def test_lbfgs_restarts_with_the_length_scale_it_had():
    """A step of the size of a steep valley's gradient would throw the parameters far away."""
    x = torch.nn.Parameter(torch.tensor([1.0, 1.0]))
    optimizer = LBFGS([x], max_iter=4)
    seen = []

    def closure():
        optimizer.zero_grad()
        seen.append(x.detach().norm().item())
        value = 1e6 * x[0] ** 2 + x[1] ** 4
        value.backward()
        return value

    optimizer.step(closure)
    optimizer.last_loss = -1.0  # so that the next step counts as stalled
    optimizer.step(closure)
    assert optimizer.state[x]["old_dirs"] == []
    seen.clear()
    optimizer.step(closure)
    assert max(seen) < 2.0


def test_lbfgs_goes_on_in_double_precision_where_single_stalls(graphs, tmp_path):
    torch.set_default_dtype(torch.float32)
    module = PotentialModule(small_model(), PotentialLoss(1.0, 1.0), partial(LBFGS, max_iter=2))
    fit(module, graphs, [SwitchToFloat64(), Stall()])
    assert {p.dtype for p in module.model.parameters()} == {torch.float64}
    assert module.optimizers().last_loss < Stall.loss


def test_double_precision_after_a_stall_holds_on_resume(graphs, tmp_path):
    """Against a run that nothing interrupts; the switch, in the second epoch, clears the history that is not saved."""
    torch.set_default_dtype(torch.float32)
    of_module = PotentialLoss(1.0, 1.0), partial(LBFGS, max_iter=2)
    whole = PotentialModule(small_model(), *of_module)
    fit(whole, graphs, [SwitchToFloat64(), Stall()], max_epochs=4)
    stopped = fit(PotentialModule(small_model(), *of_module), graphs, [SwitchToFloat64(), Stall()], max_epochs=2)
    stopped.save_checkpoint(tmp_path / "stopped.ckpt")
    resumed = PotentialModule(load_model(tmp_path / "stopped.ckpt").train(), *of_module)
    assert {p.dtype for p in resumed.model.parameters()} == {torch.float64}
    before = copy.deepcopy(resumed.model.state_dict())
    fit(resumed, graphs, [SwitchToFloat64(), Stall()], max_epochs=4, ckpt_path=tmp_path / "stopped.ckpt")
    after = resumed.model.state_dict()
    assert any(not torch.equal(before[name], value) for name, value in after.items())
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(after[name], value, rtol=0, atol=0)


class Stall(lightning.Callback):
    """Makes the optimizer take its second and third step for stalled."""

    loss = 0.0

    def on_train_epoch_start(self, trainer, pl_module):
        optimizer = pl_module.optimizers(use_pl_optimizer=False)
        if trainer.current_epoch == 1:
            Stall.loss = optimizer.last_loss
            optimizer.stalled_steps, optimizer.last_loss = 1, -1.0


def test_training_stops_before_a_gradient_that_is_not_finite(graphs, tmp_path):
    torch.set_default_dtype(torch.float32)
    graphs.structures[2].forces[0, 0] = np.nan
    module = PotentialModule(small_model(), PotentialLoss(1.0, 1.0), partial(AdamW, lr=0.1))
    before = {k: v.clone() for k, v in module.model.state_dict().items()}
    with pytest.raises(InputError, match=r"9 atoms.*not_finite\.extxyz"):
        fit(module, graphs, [TerminateOnNonFiniteGradient(tmp_path)])
    assert {len(a) for a in read(tmp_path / "not_finite.extxyz", ":")} == {5, 12, 9, 20}
    for name, value in module.model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_accumulated_batches_are_told_apart(graphs, tmp_path):
    """The loss of one of four batches is not finite, the gradient is that of all."""
    torch.set_default_dtype(torch.float32)
    graphs.structures[2].forces[0, 0] = np.nan
    module = PotentialModule(small_model(), PotentialLoss(1.0, 1.0), partial(AdamW, lr=0.1))
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=1, accumulate_grad_batches=4, callbacks=[TerminateOnNonFiniteGradient(tmp_path)],
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        inference_mode=False, num_sanity_val_steps=0,
    )  # fmt: skip
    structures = graphs.structures
    data = StructureDataModule(Splits("test", structures, structures[:1]), 4.0, batch_size=1, num_workers=0)
    with pytest.raises(InputError, match=r"batch of 9 atoms \(saved as"):
        trainer.fit(module, datamodule=data)
    assert [len(a) for a in read(tmp_path / "not_finite.extxyz", ":")] == [9]


@pytest.mark.parametrize(("wait", "told"), [(4.0, 1), (0.1, 0)])
def test_training_that_waits_for_its_batches_says_so_once(monkeypatch, caplog, wait, told):
    """By a clock that shows 1 s of waiting for the first of 11 batches of 1 s each, and `wait` for the others."""
    now = [0.0]
    monkeypatch.setattr("sognet.training.callbacks.data_loading.time", SimpleNamespace(perf_counter=lambda: now[0]))
    logged = []
    module = SimpleNamespace(log=lambda name, value: logged.append((name, value)))
    trainer, callback = SimpleNamespace(is_global_zero=True), DataLoadingMonitor()
    for _ in range(2):
        callback.on_train_epoch_start(trainer, module)
        for number in range(11):
            now[0] += wait if number else 1.0
            callback.on_train_batch_start(trainer, module, None, number)
            now[0] += 1.0
            callback.on_train_batch_end(trainer, module, None, None, number)
        callback.on_train_epoch_end(trainer, module)
    waited = 1.0 + 10 * wait
    assert logged == [("data_wait", pytest.approx(waited / (waited + 11)))] * 2
    assert caplog.text.count("waits for its batches") == told
