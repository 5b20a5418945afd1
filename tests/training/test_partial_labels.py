"""Structures that lack some reference values: every value that is there counts, and nothing else."""

import logging
from functools import partial

import lightning
import numpy as np
import pytest
import torch
from structures import labelled_atoms, small_model
from torch.optim import AdamW
from torch_geometric.data import Batch

from sognet.analysis.long_range_share import force_shares
from sognet.analysis.predictions import errors, predict
from sognet.data import Keys, Splits, Structure, StructureDataModule
from sognet.data.loading.batching import PlannedBatch
from sognet.data.loading.loader import GraphDataset, PlannedGraphs
from sognet.errors import InputError
from sognet.training.build import check_targets
from sognet.training.callbacks.validation import ErrorsByGroup, Figures, TrainingErrors
from sognet.training.initial_values import initialize
from sognet.training.loss import PotentialLoss
from sognet.training.metrics import PotentialErrors
from sognet.training.module import PotentialModule

pytestmark = pytest.mark.usefixtures("double")

WITHOUT = {"energy": [4], "forces": [1, 5], "stress": [0, 2, 4]}
"""Structures of eight that lack a value; the stress of number 3, which is a cluster, has no meaning."""


@pytest.fixture
def structures():
    atoms = [labelled_atoms(4 + i % 5, seed=i, pbc=i != 3) for i in range(8)]
    for i, a in enumerate(atoms):
        for name in ("energy", "stress"):
            if i in WITHOUT[name]:
                del a.info[name]
        if i in WITHOUT["forces"]:
            del a.arrays["forces"]
    return [Structure.from_atoms(a, Keys(), f"frame {i}", partial=True) for i, a in enumerate(atoms)]


def by_hand(model, structures):
    """Differences of prediction and reference by target: of energies per atom, of forces and of stress."""
    found = {"energy": [], "forces": [], "stress": []}
    for s, p in zip(structures, predict(model, structures, batch_size=1, stress=True), strict=True):
        if s.energy is not None:
            found["energy"].append(np.array([(p.energy - s.energy) / len(s)]))
        if s.forces is not None:
            found["forces"].append(p.forces - s.forces)
        if s.stress is not None and s.pbc.all():
            found["stress"].append(p.stress - s.stress)
    return found


def test_the_loss_of_a_batch_that_mixes_is_over_what_is_there(structures, device):
    model = small_model(n_latent=1).to(device).eval()
    graphs = GraphDataset(structures, 4.0)
    batch = Batch.from_data_list([graphs[i] for i in range(8)]).to(device)
    terms = PotentialLoss(2.0, 3.0, 5.0)(model(batch), batch)
    weights = {"energy": 2.0, "forces": 3.0, "stress": 5.0}
    for name, differences in by_hand(model, structures).items():
        expected = weights[name] * np.mean([np.square(d).mean() for d in differences])
        assert terms[name].item() == pytest.approx(expected), name


def test_batches_add_up_to_the_whole_however_labels_are_shared_out(structures, device):
    model = small_model(n_latent=1).to(device).train()
    graphs, loss = GraphDataset(structures, 4.0), PotentialLoss(2.0, 3.0, 5.0)
    check_targets(loss, Splits("made", structures))
    assert loss.labelled == {"energy": 7 / 8, "forces": 6 / 8, "stress": 4 / 8}

    def gradient(members):
        batch = Batch.from_data_list([graphs[i] for i in members]).to(device)
        value = loss.at(0)(model(batch), batch)["loss"]
        return torch.cat([g.flatten() for g in torch.autograd.grad(value, list(model.parameters()))])

    whole = gradient(range(8))
    assert torch.isfinite(whole).all()
    for size in (1, 2, 4):
        parts = torch.stack([gradient(range(i, i + size)) for i in range(0, 8, size)])
        torch.testing.assert_close(parts.mean(0), whole)


def test_metrics_and_reports_agree_and_count_what_is_there(structures, device):
    model = small_model().to(device).eval()
    planned = PlannedGraphs(GraphDataset(structures, 4.0))
    metric = PotentialErrors().to(device)
    for members, weight in (([0, 1, 2], 1.0), ([3, 4], 1.0), ([5, 6, 7], 1.0), ([4], 0.0)):
        metric.update(model(batch := planned[PlannedBatch(members, weight)].to(device)), batch)
    found, reported = metric.compute(), errors(list(predict(model, structures, stress=True)))
    for target, label in (("energy", "energy"), ("forces", "force"), ("stress", "stress")):
        differences = 1000 * np.concatenate([d.ravel() for d in by_hand(model, structures)[target]])
        for source in (found, reported):
            assert source[f"{label}_rmse"] == pytest.approx(np.sqrt(np.square(differences).mean()))
            assert source[f"{label}_mae"] == pytest.approx(np.abs(differences).mean())
    assert [reported[f"n_{label}"] for label in ("energy", "force", "stress")] == [7, 6, 4]


def fit(structures, val, loss, device):
    module = PotentialModule(small_model(), loss, partial(AdamW, lr=1e-3))
    callbacks = [TrainingErrors(), ErrorsByGroup(), Figures()]
    trainer = lightning.Trainer(
        accelerator=device, devices=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, use_distributed_sampler=False, max_epochs=2, log_every_n_steps=1,
        callbacks=callbacks,
    )  # fmt: skip
    splits = Splits("made", structures, val)
    check_targets(loss, splits)
    trainer.fit(module, StructureDataModule(splits, 4.0, batch_size=2, num_workers=0))
    return {name: value.item() for name, value in trainer.callback_metrics.items()}


def test_training_uses_all_and_says_how_many_of_each(structures, device, caplog):
    with caplog.at_level(logging.INFO):
        metrics = fit(structures, structures[4:], PotentialLoss(1.0, 1.0, 1.0), device)
    assert "train: 8 structures: energy of 7, forces of 6, stress of 4" in caplog.text
    assert "train: the stress of 1 structures is not used: no periodic direction, or no volume" in caplog.text
    assert all(np.isfinite(value) for value in metrics.values())
    assert {"val/stress_rmse", "train/stress_rmse", "val/loss"} <= set(metrics)


def test_models_start_from_structures_that_lack_values(structures, device):
    """Features, latents and the share of the long range are of all structures, whatever labels they have."""
    for start in ({"Na": 1.0, "Cl": -1.0}, "auto"):
        model = small_model(n_latent=1, standardize=True).to(device)
        initialize(model, structures, start)
        assert torch.isfinite(model.feature_mean).all()
        assert np.isfinite(list(force_shares(model.eval(), structures).values())).all()


def test_what_a_whole_split_lacks_has_no_error(structures, device):
    val = [structures[0], structures[2]]  # without stress
    metrics = fit(structures, val, PotentialLoss(1.0, 1.0, 1.0), device)
    assert "val/stress_rmse" not in metrics
    assert metrics["val/loss"] > 0
    assert all(np.isfinite(value) for value in metrics.values())


def test_what_cannot_be_trained_on_is_refused(structures):
    bare = [structures[0], structures[2]]
    with pytest.raises(InputError, match=r"frame 0: no stress.*loss\.stress.*no training structure.*loss\.stress=0"):
        check_targets(PotentialLoss(1.0, 1.0, 1.0), Splits("made", bare))
    with pytest.raises(InputError, match=r"no structure of the validation split has stress.*dataset\.val_path"):
        check_targets(PotentialLoss(0.0, 0.0, 1.0), Splits("made", structures, bare))
    for loss in (PotentialLoss(0.0, 0.0), PotentialLoss(0.0, 0.0, stages=[{"epochs": 1, "energy": 1.0}])):
        with pytest.raises(InputError, match=r"all weights are zero.*loss\.energy"):
            check_targets(loss, Splits("made", structures))
