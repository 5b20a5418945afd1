"""Training from a prepared data set, as users type it: the same as from the file, also after a kill in mid-epoch."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ase.io import write
from structures import labelled_atoms

from sognet import load_model

pytestmark = pytest.mark.slow

MAIN = "from sognet.cli import main; main()"
SMALL = [
    "model.short_range.cutoff=4",
    "model.short_range.core_embedding=[4,8]",
    "model.short_range.shell_embedding=[4,8]",
    "model.short_range.n_axis=2",
    "model.long_range.n_gaussians=4",
    "trainer.accelerator=cpu",
    "logger=csv",
]
LOSSES = ("step", "train/loss", "train/energy", "train/forces", "val/loss", "kernel/exponent")
N_TRAIN = 19


def sognet(*arguments: str, code: int = 0) -> str:
    """Run the command; its output."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    }
    command = [sys.executable, "-c", MAIN, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


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


@pytest.mark.parametrize("trainer", ["cpu", "ddp_cpu"])
def test_a_run_killed_in_mid_epoch_goes_on_to_the_same_weights(prepared, tmp_path, trainer):
    """19 structures over two ranks and batches of two: nothing divides. A kill in the second epoch."""
    common = [
        "dataset=stream", f"dataset.path={prepared}", "dataset.shuffle_atoms=60", *SMALL, f"trainer={trainer}",
        "trainer.max_epochs=3", "batch.batch_size=2", "batch.num_workers=2", "callbacks=[default,within_epochs]",
        "callbacks.within_epochs.every_n_train_steps=2", "+callbacks.record._target_=recorder.Record",
    ]  # fmt: skip
    steps = {"cpu": 10, "ddp_cpu": 5}[trainer]
    for run in ("whole", "killed"):
        (tmp_path / run).mkdir()
    record = "+callbacks.record.folder"
    sognet("train", *common, f"hydra.run.dir={tmp_path}/whole/run", f"{record}={tmp_path}/whole")
    arguments = [f"hydra.run.dir={tmp_path}/killed/run", f"{record}={tmp_path}/killed"]
    sognet("train", *common, *arguments, f"+callbacks.record.kill_at={steps + 3}", code=9)
    state = torch.load(tmp_path / "killed" / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert 0 < state["global_step"] - steps < steps
    sognet("train", f"resume={tmp_path}/killed/run", "callbacks.record.kill_at=null")
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


def test_evaluation_reads_every_structure_of_a_prepared_data_set(data, prepared, tmp_path):
    sognet("train", f"dataset.path={data}", *SMALL, "trainer.max_epochs=1", f"hydra.run.dir={tmp_path}/run")
    checkpoint = f"checkpoint={tmp_path}/run/checkpoints/last.ckpt"
    output = sognet(
        "evaluate", checkpoint, "dataset=stream", f"dataset.path={prepared}", f"hydra.run.dir={tmp_path}/evaluated"
    )
    assert f"│ all   │         {N_TRAIN + 4} │" in output


def test_mistakes_end_in_a_message(data, prepared, tmp_path):
    for expected, *arguments in (
        ("no index.json, so no finished data set", "train", "dataset=stream", f"dataset.path={tmp_path}"),
        ("dataset.path", "train", "dataset=stream"),
        ("prepared with cutoff=4", "train", "dataset=stream", f"dataset.path={prepared}", "batch.max_edges=10000"),
        ("already holds", "data", "prepare", f"dataset.path={data}", f"folder={prepared}"),
        ("folder", "data", "prepare", f"dataset.path={data}"),
    ):
        extra = [f"paths.outputs={tmp_path}/outputs"] if arguments[0] == "train" else []
        output = sognet(*arguments, *extra, code=1)
        assert expected in output
        assert "Traceback" not in output
    assert "no command 'data'" in sognet("data", code=1)
