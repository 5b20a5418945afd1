"""The commands as users type them: training, evaluation, distributed runs, sweeps, mistakes."""

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from ase.io import read, write
from command import MAIN, SMALL, run_folder, sognet
from structures import labelled_atoms

from sognet import load_model

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> Path:
    outputs = tmp_path_factory.mktemp("outputs")
    sognet(
        "train", "dataset=files", f"dataset.path={data}", f"paths.outputs={outputs}", *SMALL, "trainer.max_epochs=3",
        "logger=default",
    )  # fmt: skip
    return run_folder(outputs)


def test_run_folder_holds_what_a_run_leaves(trained):
    for name in (
        "config.yaml",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "metrics.csv",
        "predictions.extxyz",
        "errors.csv",
        "errors.md",
    ):
        assert (trained / name).is_file(), name
    assert list(trained.glob("wandb/offline-run-*/files/media/images/figures/kernel*.png"))
    with (trained / "metrics.csv").open() as file:
        assert "kernel/exponent" in next(csv.reader(file))
    assert {p.name for p in (trained / "figures").iterdir()} == {"parity.png", "kernel.png"}
    summary = json.loads((trained / "summary.json").read_text())
    assert {"train", "val", "test", "all"} <= set(summary)
    for split in ("train", "val", "test", "all"):
        assert {"energy_rmse", "energy_mae", "force_rmse", "force_mae"} <= set(summary[split])
    assert summary["parameters"] > 0
    assert summary["seconds"] > 0
    assert "torch" in summary["versions"]


@pytest.mark.parametrize("command", ["evaluate", "inspect"])
def test_a_path_alone_is_other_data(command, trained, tmp_path):
    """As for training, without `dataset=files`."""
    outcome = sognet(
        command, f"checkpoint={trained}", f"dataset.path={tmp_path}/other.xyz", f"paths.outputs={tmp_path}", fails=True
    )
    assert f"{tmp_path}/other.xyz: no such file" in outcome


def test_predictions_hold_the_parts_and_the_reference(trained):
    frames = read(trained / "predictions.extxyz", ":")
    assert len(frames) == 20
    errors = []
    for atoms in frames:
        assert {"energy_short_range", "energy_long_range", "reference_energy", "split"} <= set(atoms.info)
        assert atoms.arrays["latent"].shape[0] == len(atoms)
        errors.append((atoms.get_forces() - atoms.arrays["reference_forces"]).ravel())
    summary = json.loads((trained / "summary.json").read_text())
    rmse = 1000 * np.sqrt(np.square(np.concatenate(errors)).mean())
    assert rmse == pytest.approx(summary["all"]["force_rmse"], rel=1e-4)


def test_evaluation_repeats_the_errors_of_the_run(trained, tmp_path):
    sognet("evaluate", f"checkpoint={trained}/checkpoints/best.ckpt", f"paths.outputs={tmp_path}", "device=cpu")
    before = json.loads((trained / "summary.json").read_text())
    after = json.loads((run_folder(tmp_path) / "summary.json").read_text())
    for split in ("train", "val", "test", "all"):
        assert after[split] == pytest.approx(before[split], rel=1e-6)


def test_evaluation_on_other_data(trained, data, tmp_path):
    checkpoint = f"checkpoint={trained}/checkpoints/best.ckpt"
    sognet("evaluate", checkpoint, "dataset=files", f"dataset.path={data}", f"paths.outputs={tmp_path}/a")
    summary = json.loads((run_folder(tmp_path / "a") / "summary.json").read_text())
    assert summary["test"]["n_structures"] == 20

    foreign = labelled_atoms(6)
    foreign.symbols[0] = "K"
    write(tmp_path / "foreign.xyz", foreign, format="extxyz")
    bare = labelled_atoms(6)
    del bare.arrays["forces"]
    write(tmp_path / "bare.xyz", bare, format="extxyz")
    for name, expected, extra in (
        ("foreign", "has K, which the model does not know", []),
        ("bare", "dataset.forces_key", []),
    ):
        output = sognet(
            "evaluate", checkpoint, "dataset=files", f"dataset.path={tmp_path}/{name}.xyz",
            f"paths.outputs={tmp_path}/b", *extra, fails=True,
        )  # fmt: skip
        assert expected in output
        assert f"{name}.xyz" in output
        assert "Traceback" not in output
    sognet(
        "evaluate", checkpoint, "dataset=files", f"dataset.path={tmp_path}/bare.xyz", "dataset.forces_key=null",
        f"paths.outputs={tmp_path}/c",
    )  # fmt: skip
    assert "force_rmse" not in json.loads((run_folder(tmp_path / "c") / "summary.json").read_text())["all"]


def test_short_range_control(data, tmp_path):
    sognet(
        "train", "dataset=files", f"dataset.path={data}", f"paths.outputs={tmp_path}",
        *(setting for setting in SMALL if "long_range" not in setting),
        "trainer.max_epochs=1", "model/long_range=none", "model.initial_charges={Na: 1, Cl: -1}",
    )  # fmt: skip
    model = load_model(run_folder(tmp_path) / "checkpoints" / "best.ckpt")
    assert model.long_range is None
    assert model.latent_head is None


def test_stages_and_the_step_schedule(data, tmp_path):
    sognet(
        "train", "dataset=files", f"dataset.path={data}", f"paths.outputs={tmp_path}", *SMALL, "scheduler=step",
        "callbacks=[default,ema,early_stopping]",
        "scheduler.step_size=2", "scheduler.gamma=0.5", "batch=doubling",
        "batch.stages=[{batch_size: 2, epochs: 1}, {batch_size: 4, epochs: 2}]",
    )  # fmt: skip
    with (run_folder(tmp_path) / "metrics.csv").open() as file:
        steps = [int(row["step"]) for row in csv.DictReader(file) if row["train/loss"]]
    assert steps == [7, 11, 15]  # 16 structures: 8 steps of 2, then twice 4 of 4


def test_parts_of_the_model_learn_at_rates_of_their_own(data, tmp_path):
    sognet(
        "train", "dataset=files", f"dataset.path={data}", f"paths.outputs={tmp_path}", *SMALL, "trainer.max_epochs=1",
        "optimizer.lr=0.001", "module.kernel_lr_factor=0.5", "module.latent_lr_factor=3",
        "module.kernel_weight_decay=0.1", "module.warmup_steps=2",
    )  # fmt: skip
    last = torch.load(run_folder(tmp_path) / "checkpoints" / "last.ckpt", weights_only=True)
    groups = last["optimizer_states"][0]["param_groups"]
    assert [g["initial_lr"] for g in groups] == pytest.approx([0.001, 0.0005, 0.003])
    assert [g["weight_decay"] for g in groups] == pytest.approx([0.0, 0.1, 0.0])
    with (run_folder(tmp_path) / "metrics.csv").open() as file:
        rates = next(row for row in csv.DictReader(file) if row["lr"])
    assert float(rates["lr/kernel"]) == pytest.approx(0.5 * float(rates["lr"]))
    assert float(rates["lr/latents"]) == pytest.approx(3 * float(rates["lr"]))


def test_latents_start_from_charges_of_the_elements(data, tmp_path):
    common = ["train", f"dataset.path={data}", f"paths.outputs={tmp_path}", *SMALL, "trainer.max_epochs=1"]
    sognet(*common, "optimizer.lr=1e-9", "model.initial_charges={Na: 0.2, Cl: -0.2}")
    frames = read(run_folder(tmp_path) / "predictions.extxyz", ":")
    latent = np.concatenate([np.ravel(f.arrays["latent"]) for f in frames])
    sodium = np.concatenate([f.numbers == 11 for f in frames])
    assert latent[sodium].mean() - latent[~sodium].mean() == pytest.approx(0.4, rel=0.1)
    assert "missing for Cl" in sognet(*common, "model.initial_charges={Na: 0.2}", fails=True)


def test_energies_alone_and_forces_alone(data, tmp_path):
    for absent, weights, expected in (
        ("energy", ["loss.energy=0"], {"force_rmse"}),
        ("forces", ["loss.forces=0"], {"energy_rmse"}),
    ):
        outputs = tmp_path / absent
        sognet(
            "train", "dataset=files", f"dataset.path={data}", f"paths.outputs={outputs}", *SMALL, *weights,
            f"dataset.{absent}_key=null", "trainer.max_epochs=1",
        )  # fmt: skip
        summary = json.loads((run_folder(outputs) / "summary.json").read_text())
        assert {k for k in summary["test"] if k.endswith("_rmse")} == expected


def test_a_killed_run_is_resumed_to_the_same_weights(data, tmp_path):
    common = ["train", "dataset=files", f"dataset.path={data}", *SMALL, "trainer.max_epochs=12", "batch.batch_size=4"]
    sognet(*common, f"hydra.run.dir={tmp_path}/whole")
    arguments = [sys.executable, "-c", MAIN, *common, f"hydra.run.dir={tmp_path}/killed"]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    metrics = tmp_path / "killed" / "metrics.csv"
    while not metrics.is_file() or len(metrics.read_text().splitlines()) < 3:  # the first epoch is saved and logged
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    assert process.wait() == -9
    written = tmp_path / "killed" / "config.yaml"
    config = yaml.safe_load(written.read_text())
    del config["model"]["initial_charges"]  # as in runs from before this setting
    written.write_text(yaml.safe_dump(config))
    sognet("train", f"resume={tmp_path}/killed")
    weights = [load_model(tmp_path / f / "checkpoints" / "last.ckpt").state_dict() for f in ("whole", "killed")]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=0, atol=0)
    logged = []
    for run in ("whole", "killed"):
        with (tmp_path / run / "metrics.csv").open() as file:
            logged.append([(r["step"], r["train/loss"], r["val/loss"]) for r in csv.DictReader(file)])
    assert logged[0] == logged[1]
    assert "no run" in sognet("train", f"resume={tmp_path}/nothing", fails=True)
    assert "keeps its groups" in sognet("train", f"resume={tmp_path}/killed", "trainer=gpu", fails=True)
    assert "model.colour" in sognet("train", f"resume={tmp_path}/killed", "model.colour=1", fails=True)


def test_mistakes_leave_no_run_folder(tmp_path):
    output = sognet("train", "dataset.path=none.xyz", f"paths.outputs={tmp_path}", "model.n_latent=2.5", fails=True)
    assert "error: model.n_latent=2.5" in output
    assert "Traceback" not in output
    assert not list(tmp_path.iterdir())


def test_the_tab_key_completes_commands_groups_and_values(tmp_path):
    command = tmp_path / "sognet"
    command.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{MAIN}' \"$@\"\n")
    command.chmod(0o755)
    script = 'eval "$(sognet completion bash)"; for line in "$@"; do COMP_LINE=$line COMP_POINT=${#line};'
    script += ' _sognet; echo "${COMPREPLY[*]}"; done'
    lines = ["sognet ev", "sognet da", "sognet data in", "sognet train datas", "sognet train dataset=di"]
    lines += ["sognet train model.long_range.n_g", "sognet data prepare shard_"]
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script, "bash", *lines], env=environment, capture_output=True, text=True)
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["evaluate"], ["data", "dashboard"], ["inspect"], ["dataset.", "dataset="], ["dimers", "dipeptides"],
        ["model.long_range.n_gaussians="], ["shard_atoms="],
    ], done.stderr  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["fit"], "no command 'fit'"),
        (["data"], "sognet data inspect or sognet data prepare"),
        (["train"], "dataset.path"),
        (["train", "dataset=fils"], "fils"),
        (["train", "trainer.max_epoch=3"], "did you mean trainer.max_epochs?"),
        (["evaluate", "checkpoint=none.ckpt"], "none.ckpt: no such checkpoint"),
        (["evaluate"], "name a checkpoint"),
        (["predict", "checkpoint=none.ckpt", "path=none.xyz"], "none.ckpt: no such checkpoint"),
    ],
)
def test_mistakes_end_in_a_message(tmp_path, arguments, expected):
    output = sognet(*arguments, *([f"paths.outputs={tmp_path}"] if arguments[0] != "fit" else []), fails=True)
    assert expected in output
    assert "Traceback" not in output


@pytest.mark.parametrize("project", [[], ["sognet"], ["a/b/c"]])
def test_a_dashboard_is_of_a_project_of_somebody(project):
    assert "entity/project" in sognet("dashboard", *project, fails=True)


def test_help_names_the_commands():
    assert "sognet evaluate" in sognet("--help")
    assert "dataset" in sognet("train", "--help")


def test_fine_tuning_starts_from_a_trained_model(trained, data, tmp_path):
    start = trained / "checkpoints" / "best.ckpt"
    common = ["train", "dataset=files", f"dataset.path={data}", f"start_from={start}", f"paths.outputs={tmp_path}"]
    sognet(*common, "freeze=[short_range.*]", "trainer.max_epochs=1", "trainer.accelerator=cpu", "logger=csv")
    before, after = load_model(start), load_model(run_folder(tmp_path) / "checkpoints" / "best.ckpt")
    changed = {
        name for (name, a), b in zip(before.named_parameters(), after.parameters(), strict=True) if (a != b).any()
    }
    assert {name.partition(".")[0] for name in changed} == {"energy_head", "latent_head", "long_range"}
    assert "start_from" in sognet(*common, "model.n_latent=3", fails=True)
