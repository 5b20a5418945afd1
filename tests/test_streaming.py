"""Training from a prepared data set, as users type it: the same as from the file, also after a kill in mid-epoch."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.io import write
from command import SMALL, sognet
from structures import labelled_atoms

from sognet import load_model

pytestmark = pytest.mark.slow

LOSSES = ("step", "train/loss", "train/energy", "train/forces", "val/loss", "kernel/exponent")
N_TRAIN = 19


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "mine.xyz"
    write(path, [labelled_atoms(6 + i % 4, seed=i) for i in range(N_TRAIN + 4)], format="extxyz")
    return path


@pytest.fixture(scope="module")
def prepared(data) -> Path:
    folder = data.with_name("prepared")
    output = sognet("data", "prepare", f"dataset.path={data}", f"folder={folder}", "cutoff=4", "block_atoms=30")
    assert f"{N_TRAIN} train, 2 val, 2 test structures are in {folder}" in output
    return folder


def logged(run: Path) -> list[list[str]]:
    with (run / "metrics.csv").open() as file:
        return [[row.get(name, "") for name in LOSSES] for row in csv.DictReader(file)]


def test_losses_are_those_of_training_from_the_file(data, prepared, tmp_path):
    common = [*SMALL, "trainer.max_epochs=3", "batch.batch_size=4", "batch.max_edges=1500"]
    sognet("train", f"dataset.path={data}", *common, f"hydra.run.dir={tmp_path}/file")
    sognet("train", "dataset=stream", f"dataset.path={prepared}", *common, f"hydra.run.dir={tmp_path}/stream")
    assert len(logged(tmp_path / "file")) > 6
    assert logged(tmp_path / "file") == logged(tmp_path / "stream")
    output = sognet(
        "evaluate", f"checkpoint={tmp_path}/file/checkpoints/last.ckpt", "dataset=stream", f"dataset.path={prepared}",
        f"hydra.run.dir={tmp_path}/evaluated",
    )  # fmt: skip
    assert f"│ all   │         {N_TRAIN + 4} │" in output


def test_a_correction_to_a_baseline_is_that_of_training_from_the_file(data, prepared, tmp_path):
    sognet("train", f"dataset.path={data}", *SMALL, "epochs=1", f"hydra.run.dir={tmp_path}/base")
    common = [
        *SMALL, "model/baseline=sognet", f"model.baseline.checkpoint={tmp_path}/base", "trainer.max_epochs=2",
        "batch.batch_size=4", "batch.num_workers=2", f"paths.data={tmp_path}/values",
    ]  # fmt: skip
    found = {}
    for run, chosen in {
        "file": [f"dataset.path={data}"],
        "stream": ["dataset=stream", f"dataset.path={prepared}"],
    }.items():
        sognet("train", *chosen, *common, f"hydra.run.dir={tmp_path}/{run}")
        found[run] = np.array([[float(v or "nan") for v in row] for row in logged(tmp_path / run)])
    np.testing.assert_allclose(found["stream"], found["file"], rtol=1e-4)
    sognet(
        "evaluate", f"checkpoint={tmp_path}/stream", "dataset=stream", f"dataset.path={prepared}",
        f"paths.data={tmp_path}/values", f"hydra.run.dir={tmp_path}/evaluated",
    )  # fmt: skip
    assert len(list((tmp_path / "values" / "baselines").glob("*/blocks/*.npz"))) > 3


def test_a_run_killed_in_mid_epoch_goes_on_to_the_same_weights(prepared, tmp_path):
    """19 structures over two ranks and batches of two: nothing divides. Five steps an epoch, a kill in the second."""
    common = [
        "dataset=stream", f"dataset.path={prepared}", "dataset.shuffle_atoms=60", *SMALL, "trainer=ddp_cpu",
        "trainer.max_epochs=3", "batch.batch_size=2", "batch.num_workers=2", "callbacks=[default,within_epochs]",
        "callbacks.within_epochs.every_n_train_steps=2", "+callbacks.record._target_=recorder.Record",
    ]  # fmt: skip
    commands = {}
    for run in ("whole", "killed"):
        (tmp_path / run).mkdir()
        commands[run] = [*common, f"hydra.run.dir={tmp_path}/{run}/run", f"+callbacks.record.folder={tmp_path}/{run}"]
    sognet("train", *commands["whole"])
    sognet("train", *commands["killed"], fails=True, KILL_AT="9")
    last = tmp_path / "killed" / "run" / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 8
    sognet("train", f"resume={tmp_path}/killed/run", "trust=[recorder]")
    seen = {run: {} for run in ("whole", "killed")}
    for run, batches in seen.items():
        for file in (tmp_path / run).glob("ids-*.txt"):
            for line in file.read_text().splitlines():
                epoch, step, *ids = map(int, line.split())
                batches[file.name, epoch, step] = ids  # a step after the last checkpoint is done again
        for epoch in range(3):
            ids = [i for (_, e, _), members in batches.items() if e == epoch for i in members]
            assert sorted(ids) == list(range(N_TRAIN))
    assert seen["whole"] == seen["killed"]
    weights = [load_model(tmp_path / r / "run" / "checkpoints" / "last.ckpt").state_dict() for r in seen]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=0, atol=0)
