"""A run of some epochs, and one of half as many that goes on to as many: the same weights, averages and optimizer."""

from pathlib import Path

import pytest
import torch
from ase.io import write
from interruptions import assert_same, tiny_run, train_in_process
from structures import labelled_atoms

from sognet.training.resume import save_configuration

EPOCHS = 6

EMA = ["callbacks=[default,ema]", "callbacks.ema.decay=0.9"]
STOPPING = ["callbacks=[default,early_stopping]", "callbacks.early_stopping.patience=2"]
PLATEAU = ["scheduler=plateau", "scheduler.patience=0"]
LBFGS = ["optimizer=lbfgs", "optimizer.max_iter=4", "batch.batch_size=20"]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("data") / "mine.xyz"
    write(path, [labelled_atoms(4 + i % 4, seed=i) for i in range(20)], format="extxyz")
    return f"dataset.path={path}"


def in_one_and_in_two(folder: Path, *settings: str) -> tuple[Path, Path]:
    config = tiny_run(folder / "one", "scheduler=none", *settings, f"trainer.max_epochs={EPOCHS}")
    assert train_in_process(config) == 0
    config = tiny_run(folder / "two", "scheduler=none", *settings, f"trainer.max_epochs={EPOCHS // 2}")
    assert train_in_process(config) == 0
    config.trainer.max_epochs = EPOCHS
    save_configuration(config, folder / "two" / "config.yaml")  # which the other ranks read
    assert train_in_process(config) == 0
    return folder / "one", folder / "two"


def saved(folder: Path, name: str = "last.ckpt") -> dict:
    return torch.load(folder / "checkpoints" / name, weights_only=True)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(EMA, marks=pytest.mark.slow),
        [*EMA, *PLATEAU, "optimizer=soap", "optimizer.precondition_frequency=3"],
        pytest.param([*PLATEAU, "module.warmup_steps=4", "module.kernel_lr_factor=2"], marks=pytest.mark.slow),
        pytest.param(LBFGS, marks=pytest.mark.slow),
        [*LBFGS, "optimizer.history_size=5"],
        pytest.param([*EMA, "trainer=ddp_cpu", "trainer.devices=2"], marks=pytest.mark.slow),
    ],
    ids=["ema", "ema-soap-plateau", "plateau-warm-up", "lbfgs", "lbfgs-full-history", "ema-ddp"],
)
def test_two_halves_are_a_whole(data, tmp_path, settings):
    one, two = in_one_and_in_two(tmp_path, data, *settings)
    assert_same(one, two)
    assert saved(one)["lr_schedulers"] == saved(two)["lr_schedulers"]
    if EMA[0] in settings:
        now, average = saved(two)["current_model_state"], saved(two)["state_dict"]
        assert any(not torch.equal(now[name], value) for name, value in average.items())
        assert saved(two)["averaging_state"] == saved(one)["averaging_state"]


def test_the_history_of_lbfgs_is_in_the_checkpoint_to_resume_from_alone(data, tmp_path):
    config = tiny_run(tmp_path / "run", "scheduler=none", data, *LBFGS, "trainer.max_epochs=2")
    assert train_in_process(config) == 0
    (history,) = saved(tmp_path / "run")["optimizer_states"][0]["state"].values()
    assert len(history["old_dirs"]) > 2
    assert saved(tmp_path / "run", "best.ckpt")["optimizer_states"][0]["state"] == {}


def test_lbfgs_goes_on_downhill_without_its_history(data, tmp_path):
    settings = ["scheduler=none", data, *LBFGS, "optimizer.save_history=false", "trainer.max_epochs=2"]
    config = tiny_run(tmp_path / "run", *settings)
    assert train_in_process(config) == 0
    before = saved(tmp_path / "run")
    assert before["optimizer_states"][0]["state"] == {}
    config.trainer.max_epochs = 4
    assert train_in_process(config) == 0
    states = [checkpoint["optimizer_states"][0] for checkpoint in (before, saved(tmp_path / "run"))]
    assert states[1]["last_loss"] < states[0]["last_loss"]


@pytest.mark.slow
def test_early_stopping_counts_on_through_a_resumed_run(data, tmp_path):
    """Where no epoch counts as better than the first, a run ends `patience` epochs later, interrupted or not."""
    settings = ["scheduler=none", data, *STOPPING, "+callbacks.early_stopping.min_delta=1e9"]
    config = tiny_run(tmp_path / "one", *settings, f"trainer.max_epochs={EPOCHS}")
    assert train_in_process(config) == 0
    config = tiny_run(tmp_path / "two", *settings, "trainer.max_epochs=2")
    assert train_in_process(config) == 0
    config.trainer.max_epochs = EPOCHS
    assert train_in_process(config) == 0
    assert saved(tmp_path / "one")["epoch"] == saved(tmp_path / "two")["epoch"] < EPOCHS - 1
    assert_same(tmp_path / "one", tmp_path / "two")
