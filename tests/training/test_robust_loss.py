"""Dimensionless weights, and a loss that outliers cannot ruin."""

import lightning
import numpy as np
import pytest
import torch
from structures import labelled_atoms, small_model
from torch.optim import SGD
from torch_geometric.data import Batch, Data

from sognet.data import Keys, Splits, Structure, StructureDataModule, build_graph
from sognet.data.label_spread import label_spreads
from sognet.errors import InputError
from sognet.training.build import set_scales
from sognet.training.callbacks.validation import TrainingErrors
from sognet.training.loss import PotentialLoss
from sognet.training.module import PotentialModule

pytestmark = pytest.mark.usefixtures("double")


def structures(n, energy=0.02, force=0.5, stress=0.01, seed=0):
    """With normal labels of these spreads; each element has an energy of its own, far from zero."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        s = Structure.from_atoms(labelled_atoms(4 + i % 5, seed=i), Keys(), f"frame {i}")
        s.energy = float(-900.0 * (s.numbers == 11).sum() - 50.0 * (s.numbers == 17).sum())
        s.energy += len(s) * (energy * rng.normal() - 3.0)
        s.forces = force * rng.normal(size=(len(s), 3))
        s.stress = stress * rng.normal(size=(3, 3))
        made.append(s)
    return made


def test_spreads_are_those_that_the_labels_were_drawn_with_outliers_or_not():
    made = structures(400)
    expected = {"energy": 0.02, "forces": 0.5, "stress": 0.01}
    assert label_spreads(made) == pytest.approx(expected, rel=0.1)
    for outlier in made[::100]:
        outlier.forces = 100 * outlier.forces
    assert label_spreads(made)["forces"] == pytest.approx(0.5, rel=0.5)


def test_dimensionless_weights_do_not_depend_on_the_units_of_the_labels(device):
    """Labels and predictions a thousand times smaller give the same loss."""
    made = structures(6)
    batch = Batch.from_data_list([build_graph(s, 4.0) for s in made]).to(device)
    out = small_model().to(device).eval()(batch)
    values = []
    for factor in (1.0, 1e-3):
        for name in ("energy", "forces", "stress"):
            batch[name] = batch[name] * factor
        loss = PotentialLoss(2.0, 3.0, 4.0, dimensionless=True)
        loss.scales.update({name: v * factor for name, v in {"energy": 0.02, "forces": 0.5, "stress": 0.01}.items()})
        scaled = {k: v * factor if k in ("energy", "forces", "stress") else v for k, v in out.items()}
        values.append(loss(scaled, batch))
    torch.testing.assert_close(values[0], values[1])
    error = (out["forces"] - batch.forces * 1e3) / 0.5
    sums = torch.zeros(6, device=device).index_add(0, batch.batch, error.square().mean(1))
    per_structure = sums / torch.bincount(batch.batch)
    torch.testing.assert_close(values[0]["forces"], 3.0 * per_structure.mean())


def linear_fit(device, outlier, **settings):
    """Forces a·x fitted by gradient descent, the true a being 2, with one force 100 times the others' RMS."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(60, 3, generator=rng)
    forces = 2 * x + 0.01 * torch.randn(60, 3, generator=rng)
    rms = forces.square().mean().sqrt()
    if outlier:
        forces[0] = 100 * rms * torch.sign(x[0])
    batch = Data(forces=forces, batch=torch.arange(60), charge=torch.zeros(60), num_graphs=60).to(device)
    x = x.to(device)
    loss = PotentialLoss(0.0, 1.0, **settings)
    loss.scales["forces"] = rms.item()
    a = torch.zeros((), device=device, requires_grad=True)
    optimizer = SGD([a], 0.2)
    for _ in range(300):
        optimizer.zero_grad()
        loss({"forces": a * x, "energy_short_range": x[:, 0]}, batch)["loss"].backward()
        optimizer.step()
    return a.item()


def test_an_outlier_does_not_ruin_a_linear_model(device):
    assert linear_fit(device, outlier=False) == pytest.approx(2.0, abs=0.01)
    assert linear_fit(device, outlier=False, huber_delta=1.0) == pytest.approx(2.0, abs=0.01)
    assert abs(linear_fit(device, outlier=True) - 2.0) > 1.0
    assert linear_fit(device, outlier=True, huber_delta=1.0) == pytest.approx(2.0, abs=0.1)
    assert linear_fit(device, outlier=True, huber_delta=0.1) == pytest.approx(2.0, abs=0.02)


def test_the_pull_of_one_force_has_a_bound_and_small_errors_are_squared(device):
    batch = Data(forces=torch.zeros(1, 3), batch=torch.zeros(1, dtype=torch.long), num_graphs=1).to(device)
    loss, squared = PotentialLoss(0.0, 1.0, huber_delta=2.0), PotentialLoss(0.0, 1.0)
    loss.scales["forces"] = 0.5
    for size in (1e-3, 0.9, 1.1, 1e3, 1e6):  # of the components; they count linearly from 2 × 0.5 on
        predicted = torch.full((1, 3), size, device=device, requires_grad=True)
        terms = loss(out := {"forces": predicted, "energy_short_range": predicted.new_zeros(1)}, batch)
        (pull,) = torch.autograd.grad(terms["loss"], predicted)
        assert pull.norm() <= 2 * 2.0 * 0.5 / 3**0.5 + 1e-9
        assert terms["force_mse"].item() == pytest.approx(size**2)
        if size < 1:
            torch.testing.assert_close(terms["forces"], squared(out, batch)["forces"])


def trained(splits, loss, checkpoint=None):
    set_scales(loss, splits.train)
    module = PotentialModule(small_model(), loss, lambda p: SGD(p, lr=1e-9))
    trainer = lightning.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, num_sanity_val_steps=0,
        enable_model_summary=False, use_distributed_sampler=False, max_epochs=1 + bool(checkpoint), log_every_n_steps=1,
        callbacks=[TrainingErrors()],
    )  # fmt: skip
    datamodule = StructureDataModule(splits, 4.0, batch_size=4, num_workers=0)
    trainer.fit(module, datamodule, ckpt_path=checkpoint, weights_only=True)
    return trainer


def test_errors_are_in_units_whatever_the_loss_and_the_validation_loss_is_that_of_training():
    made = structures(16)
    made[3].forces[0] = 100.0
    splits = Splits("made", made, made)  # the same, with weights that hardly change
    plain = trained(splits, PotentialLoss(1.0, 2.0, 3.0)).callback_metrics
    for settings in ({"dimensionless": True}, {"huber_delta": 1.0}, {"dimensionless": True, "huber_delta": 1.0}):
        metrics = trained(splits, PotentialLoss(1.0, 2.0, 3.0, **settings)).callback_metrics
        for name in ("energy", "force", "stress"):
            assert metrics[f"train/{name}_rmse"].item() == pytest.approx(plain[f"train/{name}_rmse"].item(), rel=1e-3)
            assert metrics[f"val/{name}_rmse"].item() == pytest.approx(plain[f"val/{name}_rmse"].item(), rel=1e-3)
        assert metrics["val/loss"].item() == pytest.approx(metrics["train/loss"].item(), rel=0.25)
        assert not [name for name in metrics if name.endswith("huber")]


def test_a_resumed_run_counts_in_the_units_of_its_start(tmp_path):
    """Also where the training structures are others by then."""
    trainer = trained(Splits("made", made := structures(8), made), PotentialLoss(1.0, 1.0, dimensionless=True))
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    scales = dict(trainer.lightning_module.loss.scales)
    others = Splits("made", structures(8, force=5.0), made)
    again = trained(others, PotentialLoss(1.0, 1.0, dimensionless=True), tmp_path / "last.ckpt")
    assert again.lightning_module.training_loss.scales == again.lightning_module.loss.scales == scales


def test_a_huber_limit_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match=r"loss\.huber_delta must be positive"):
        PotentialLoss(1.0, 1.0, huber_delta=0.0)
    with pytest.raises(InputError, match=r"loss\.targets\.gap: no such row"):
        PotentialLoss(1.0, 1.0, targets={"gap": 1.0})
