"""Experiments of one's own in a folder of one's own, settings of this machine, and debugging options."""

import csv
import json

import pytest
import yaml
from command import SMALL, run_folder, sognet
from omegaconf import OmegaConf

EXPERIMENT = """# @package _global_
defaults:
  - override /scheduler: plateau

name: ours

model:
  n_latent: 2

trainer:
  max_epochs: 1
"""


@pytest.fixture
def own(tmp_path):
    """A folder with an experiment, a data set and settings of this machine."""
    for name, text in {
        "experiment/ours": EXPERIMENT,
        "dataset/ours": "defaults: [files]\nval_fraction: 0.3\n",
        "local/default": f"# @package _global_\npaths:\n  outputs: {tmp_path}/here\n",
    }.items():
        file = tmp_path / "mine" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "mine"


@pytest.mark.slow
def test_a_folder_of_ones_own_adds_options_to_the_groups(own, data, tmp_path):
    chosen = ["--config-dir", own, "experiment=ours", "dataset=ours", f"dataset.path={data}"]
    sognet("train", *chosen, *SMALL, "tags=[first,ours]", "test=false")
    folder = run_folder(tmp_path / "here" / "ours")
    config = OmegaConf.load(folder / "config.yaml")
    assert config.model.n_latent == 2
    assert config.scheduler._target_.endswith("ReduceLROnPlateau")
    assert config.tags == ["first", "ours"]
    summary = json.loads((folder / "summary.json").read_text())
    assert {"train", "val", "test"} & set(summary) == {"train", "val"}
    assert summary["val"]["n_structures"] == 6
    weights = (folder / "checkpoints" / "last.ckpt").read_bytes()

    sognet("train", f"resume={folder}", "train=false", "test=true")
    again = json.loads((folder / "summary.json").read_text())
    assert again["test"]["n_structures"] == 2
    assert again["val"]["force_rmse"] == pytest.approx(summary["val"]["force_rmse"], rel=1e-6)
    assert (folder / "checkpoints" / "last.ckpt").read_bytes() == weights


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["warmup_steps=20"], "error: warmup_steps is called module.warmup_steps now"),
        (["--config-dir", "nowhere", "experiment=ours"], "nowhere' not found"),
    ],
)
def test_mistakes_end_in_a_message(arguments, expected):
    output = sognet("train", *arguments, "dataset.path=a.xyz", fails=True)
    assert expected in output
    assert "Traceback" not in output


def test_an_old_name_in_a_file_of_ones_own_is_refused(own, tmp_path):
    file = own / "experiment" / "ours.yaml"
    file.write_text(EXPERIMENT + "\n" + yaml.safe_dump({"kernel_lr_factor": 0.1}))
    output = sognet("train", "dataset.path=a.xyz", "--config-dir", own, "experiment=ours", fails=True)
    assert "kernel_lr_factor is called module.kernel_lr_factor now" in output
    assert not (tmp_path / "here").exists()


@pytest.mark.slow
@pytest.mark.parametrize("option", ["limit", "profiler", "one_batch"])
def test_debugging_options_run_to_the_end(data, tmp_path, option):
    fast = {"one_batch": ["trainer.max_epochs=4", "batch.batch_size=2", "trainer.log_every_n_steps=1"]}.get(option, [])
    sognet("train", f"debug={option}", f"dataset.path={data}", f"paths.outputs={tmp_path}", *SMALL, *fast)
    folder = run_folder(tmp_path / "debug")
    assert (folder / "fit-profile.txt").is_file() == (option == "profiler")
    with (folder / "metrics.csv").open() as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]
    assert len(losses) == {"limit": 2, "profiler": 3, "one_batch": 4}[option]
    if option == "one_batch":
        assert losses == sorted(losses, reverse=True)
