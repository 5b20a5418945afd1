"""Sweeps and ensembles, as users type them."""

import json

import pytest
from command import SMALL, fresh_sognet, sognet
from wandb_file import records

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "search",
    [
        ["-m", "seed=1,2", "model.n_latent=1,2"],
        ["hparams_search=optuna", "hydra.sweeper.n_trials=4", "batch.batch_size=4", "seed=choice(1,2)"],
    ],
    ids=["grid", "optuna"],
)
def test_sweep_of_distributed_runs_has_one_folder_per_run(data, tmp_path, search):
    output = sognet(
        "train", *search, "dataset=files", f"dataset.path={data}", f"paths.outputs={tmp_path}", *SMALL,
        "logger=default", "trainer=ddp_cpu", "trainer.max_epochs=1", "tags=[searched]",
    )  # fmt: skip
    (sweep,) = (tmp_path / "default").iterdir()
    assert {f.parent.name for f in sweep.rglob("summary.json")} == {"0", "1", "2", "3"}
    assert len(list(sweep.rglob("config.yaml"))) >= 4
    for member in range(4):
        (run,) = (r.run for r in records(sweep / str(member)) if r.WhichOneof("record_type") == "run")
        assert run.run_group == sweep.name
        assert list(run.tags) == ["searched"]
    assert output.count("4 runs below") == 1
    assert "seed=2" in output.replace("\n", "") or search[0] != "-m"


def test_a_failed_member_is_reported_and_the_sweep_goes_on(data, tmp_path):
    missing = tmp_path / "missing.xyz"
    output = fresh_sognet(
        "train", "-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "dataset=files",
        f"dataset.path={missing},{data}", f"paths.outputs={tmp_path}", *SMALL, "trainer.max_epochs=1", fails=True,
    )  # fmt: skip
    assert "1 runs below" in output
    assert "failed: 0:" in output
    assert "missing.xyz" in output
    (failed,) = tmp_path.rglob("failed.txt")
    assert "missing.xyz" in failed.read_text()
    assert "no finished runs" in sognet("runs", tmp_path / "nowhere", fails=True)


def test_a_sweep_goes_on_where_it_was_interrupted(data, tmp_path):
    command = [
        "train",
        "-m",
        f"dataset.path={data}",
        *SMALL,
        "trainer.max_epochs=2",
        f"hydra.sweep.dir={tmp_path}/sweep",
    ]
    sognet(*command, "seed=1,2")
    finished, interrupted = (tmp_path / "sweep" / member / "summary.json" for member in "01")
    before, expected = finished.stat().st_mtime_ns, json.loads(interrupted.read_text())
    interrupted.unlink()
    (interrupted.parent / "failed.txt").write_text("killed\n\n")
    output = sognet(*command, "seed=1,2")
    assert "0 is finished" in output
    assert finished.stat().st_mtime_ns == before
    assert json.loads(interrupted.read_text())["test"] == pytest.approx(expected["test"], rel=1e-6)
    assert "2 runs below" in output
    assert "failed" not in output
    assert "holds a run with other settings" in sognet(*command, "seed=3,4", fails=True)


def test_a_sweep_runs_under_submitit(data, tmp_path):
    fresh_sognet(
        "train", "-m", "hydra/launcher=submitit_local", "dataset=files", f"dataset.path={data}", "seed=1,2",
        f"paths.outputs={tmp_path}", *SMALL, "trainer.max_epochs=1",
    )  # fmt: skip
    assert len(list(tmp_path.rglob("summary.json"))) == 2


def test_ensembles_in_a_sweep_are_resumed_and_evaluated(data, tmp_path):
    sognet(
        "train", "-m", f"dataset.path={data}", f"hydra.sweep.dir={tmp_path}", "hydra.sweep.subdir=${hydra:job.num}",
        *SMALL, "trainer.max_epochs=1", "ensemble=2", "seed=0,5",
    )  # fmt: skip
    assert len(list(tmp_path.glob("[01]/member_[01]/summary.json"))) == 2 * 2
    ensemble = tmp_path / "1"
    before = json.loads((ensemble / "summary.json").read_text())
    assert before["calibration"]["test"]["forces"]["scale"] > 0
    finished = (ensemble / "member_0" / "summary.json").stat().st_mtime_ns
    (ensemble / "member_1" / "summary.json").unlink()
    output = sognet("train", f"resume={ensemble}", "ensemble=3")
    assert "member_0 is finished" in output
    assert (ensemble / "member_0" / "summary.json").stat().st_mtime_ns == finished
    after = json.loads((ensemble / "summary.json").read_text())
    assert after["members"]["member_1"]["test"] == pytest.approx(before["members"]["member_1"]["test"], rel=1e-6)
    assert list(after["members"]) == ["member_0", "member_1", "member_2"]
    sognet("evaluate", f"checkpoint={ensemble}", "committee=true", f"hydra.run.dir={tmp_path}/out", "device=cpu")
    again = json.loads((tmp_path / "out" / "summary.json").read_text())
    for split in ("train", "test", "all"):
        assert again[split] == pytest.approx(after[split], rel=1e-6)
        assert again["calibration"][split]["forces"] == pytest.approx(after["calibration"][split]["forces"], rel=1e-6)
