"""Limits of the trainer do what they say, with and without the plus sign, and reports stay those of all structures."""

import csv
import json

import pytest
import torch
from command import SMALL, sognet

from sognet.training.checkpoint_io import BEST, LAST


def trained(data, folder, *overrides, fails=False):
    """A run of two epochs with limits: output, checkpoints by name, rows of its metrics, and its report."""
    output = sognet(
        "train", f"dataset.path={data}", *SMALL, "batch.batch_size=2", "trainer.max_epochs=2", "callbacks.figures=null",
        f"hydra.run.dir={folder}", *overrides, fails=fails,
    )  # fmt: skip
    if fails:
        return output
    checkpoints = {f.name: torch.load(f, weights_only=True) for f in (folder / "checkpoints").glob("*.ckpt")}
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return output, checkpoints, rows, json.loads((folder / "summary.json").read_text())


@pytest.mark.parametrize("plus", ["", "+"])
def test_limited_epochs(data, tmp_path, plus):
    _, checkpoints, rows, summary = trained(
        data, tmp_path / "run", f"{plus}trainer.limit_train_batches=3", f"{plus}trainer.limit_val_batches=1"
    )
    assert checkpoints[LAST]["global_step"] == 6
    losses = [float(row["val/loss"]) for row in rows if row.get("val/loss")]
    assert len(losses) == 2
    best = min(range(2), key=losses.__getitem__)
    assert checkpoints[BEST]["epoch"] == best
    assert sum(summary[split]["n_structures"] for split in ("train", "val", "test")) == summary["all"]["n_structures"]
    rates = [float(row["lr"]) for row in rows if row.get("lr")]
    assert rates[-1] == pytest.approx(0, abs=1e-12)  # the schedule spans the shorter training


def test_overfitting_by_hand(data, tmp_path):
    _, checkpoints, _, _ = trained(data, tmp_path / "run", "trainer.overfit_batches=2")
    assert checkpoints[LAST]["global_step"] == 4


def test_without_validation_the_training_loss_decides(data, tmp_path):
    output, checkpoints, rows, _ = trained(data, tmp_path / "run", "trainer.limit_val_batches=0")
    assert "cutoff 4 Å, 1 latent variable per atom, float32, batches of " in output
    losses = [float(row["train/loss"]) for row in rows if row.get("train/loss")]
    assert checkpoints[BEST]["epoch"] == losses.index(min(losses))
    assert "no checkpoint is the best" not in output


def test_a_training_that_ends_before_its_first_validation_says_so(data, tmp_path):
    output, checkpoints, _, _ = trained(data, tmp_path / "run", "+trainer.max_steps=2")
    assert checkpoints[LAST]["global_step"] == 2
    assert BEST in checkpoints or "no checkpoint is the best" in output


def test_a_share_that_is_less_than_a_batch_is_one_line(data, tmp_path):
    output = trained(data, tmp_path / "run", "trainer.limit_val_batches=0.01", fails=True)
    assert "error: trainer: " in output
    assert "Traceback" not in output
    assert not (tmp_path / "run").exists()


def test_batches_between_validations_count_through_short_epochs(data, tmp_path):
    """Otherwise an error of Lightning, that there are fewer batches in an epoch."""
    _, checkpoints, rows, _ = trained(
        data, tmp_path / "run", "trainer.max_epochs=3", "trainer.limit_train_batches=4", "+trainer.val_check_interval=5"
    )
    validated = [int(row["step"]) + 1 for row in rows if row.get("val/loss")]
    assert validated[:2] == [5, 10]
    assert checkpoints[LAST]["global_step"] == 12
    assert BEST in checkpoints
