"""Modules and a data set in a file of the working directory, from training to the calculator, by the command line."""

import json
import sys
from pathlib import Path

import pytest
import yaml
from ase.io import read
from command import sognet

from sognet import SOGNetCalculator
from sognet.errors import InputError

TRUST = "trust=[mine_here]"
MODEL = [
    "model/short_range=custom", "model.short_range._target_=mine_here.Repulsive", "model.short_range.cutoff=4",
    "+model.short_range.width=3", "model.long_range._target_=mine_here.Yukawa", "trainer=cpu", "logger=csv",
]  # fmt: skip
OWN_SET = ["dataset._target_=mine_here.own_set", "dataset.path=mine.xyz"]


UNKEPT = """
class Unkept(Radial):
    def __init__(self, species, cutoff, depth=2):
        super().__init__(species, cutoff)
"""


def summary(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())


@pytest.fixture(scope="module")
def work(data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    (folder / "mine_here.py").write_text((Path(__file__).parents[1] / "own_models.py").read_text() + UNKEPT)
    (folder / "mine.xyz").write_bytes(data.read_bytes())
    return folder


@pytest.fixture(scope="module")
def run(work) -> Path:
    sognet("train", *OWN_SET, *MODEL, TRUST, "trainer.max_epochs=1", f"hydra.run.dir={work}/run", cwd=work)
    return work / "run"


def test_without_trust_nothing_begins(work):
    said = sognet("train", *OWN_SET, *MODEL, f"hydra.run.dir={work}/no", cwd=work, fails=True)
    assert "add trust=[mine_here] to the command" in said
    assert "Traceback" not in said
    assert not (work / "no").exists()


def test_what_could_not_be_loaded_again_is_refused_and_leaves_its_folder_free(work):
    settings = [*OWN_SET, TRUST, "trainer=cpu", "trainer.max_epochs=1", "logger=csv", f"hydra.run.dir={work}/free"]
    said = sognet("train", "model.short_range._target_=mine_here.Unkept", *settings, cwd=work, fails=True)
    assert "add self.depth = depth" in said
    assert "Traceback" not in said
    assert not (work / "free").exists()
    sognet("train", "model.short_range._target_=mine_here.Radial", *settings, cwd=work)


def test_a_run_is_evaluated_and_predicts(work, run):
    said = sognet("evaluate", f"checkpoint={run}", f"hydra.run.dir={work}/no", cwd=work, fails=True)
    assert "trust=[mine_here]" in said
    sognet("evaluate", f"checkpoint={run}", TRUST, f"hydra.run.dir={work}/evaluated", cwd=work)
    assert summary(work / "evaluated")["test"] == pytest.approx(summary(run)["test"], rel=1e-4)
    other = ["dataset=custom", "dataset._target_=mine_here.own_set", "+dataset.path=mine.xyz", "+dataset.n_test=5"]
    sognet("evaluate", f"checkpoint={run}", *other, TRUST, f"hydra.run.dir={work}/other", cwd=work)
    assert summary(work / "other")["test"]["n_structures"] == 5
    sognet("predict", f"checkpoint={run}", "path=mine.xyz", TRUST, f"hydra.run.dir={work}/predicted", cwd=work)
    predicted = read(work / "predicted" / "predictions.extxyz")
    with pytest.MonkeyPatch.context() as here:
        here.chdir(work)
        here.setattr(sys, "path", list(sys.path))
        with pytest.raises(InputError, match="trust"):
            SOGNetCalculator(run)
        atoms = read(work / "mine.xyz")
        atoms.calc = SOGNetCalculator(run, trust="mine_here")
        assert atoms.get_potential_energy() == pytest.approx(predicted.get_potential_energy(), abs=1e-4)
    del sys.modules["mine_here"]  # so that other tests find theirs


def test_a_run_is_resumed_and_fine_tuned(work, run):
    assert "trust" not in yaml.safe_load((run / "config.yaml").read_text())
    said = sognet("train", f"resume={run}", "trainer.max_epochs=2", cwd=work, fails=True)
    assert "trust=[mine_here]" in said
    sognet("train", f"resume={run}", "trainer.max_epochs=2", TRUST, cwd=work)
    assert summary(run)["epochs"] == 2
    tuned = [f"start_from={run}", "dataset.path=mine.xyz", "trainer.max_epochs=1", "trainer=cpu", "logger=csv"]
    assert "trust=[mine_here]" in sognet("train", *tuned, f"hydra.run.dir={work}/no", cwd=work, fails=True)
    sognet("train", *tuned, TRUST, f"hydra.run.dir={work}/tuned", cwd=work)
    assert summary(work / "tuned")["parameters"] == summary(run)["parameters"]


def test_a_committee(work):
    folder = work / "committee"
    settings = [*MODEL, TRUST, "trainer.max_epochs=1", "ensemble=2", f"hydra.run.dir={folder}"]
    sognet("train", *OWN_SET, *settings, cwd=work)
    assert len(summary(folder)["checkpoint"]) == 2
    sognet("train", f"resume={folder}", TRUST, "ensemble=3", cwd=work)
    assert len(summary(folder)["checkpoint"]) == 3
    sognet("evaluate", f"checkpoint={folder}", "committee=true", TRUST, f"hydra.run.dir={work}/together", cwd=work)
    sognet("predict", f"checkpoint={folder}", "path=mine.xyz", TRUST, f"hydra.run.dir={work}/mean", cwd=work)
    assert read(work / "mean" / "predictions.extxyz").info["energy_uncertainty"] > 0


def test_a_data_set_is_inspected_and_prepared(work):
    pytest.importorskip("pyarrow")
    settings = ["dataset=custom", *OWN_SET[:1], "+dataset.path=mine.xyz"]
    assert "trust=[mine_here]" in sognet("data", "inspect", *settings, cwd=work, fails=True)
    assert "20" in sognet("data", "inspect", *settings, TRUST, f"hydra.run.dir={work}/inspected", cwd=work)
    sognet("data", "prepare", *settings, TRUST, f"folder={work}/shards", cwd=work)
    assert (work / "shards" / "index.json").is_file()
    wrong = ["dataset._target_=mine_here.own_set", "dataset.path=mine.xyz"]
    said = sognet("data", "inspect", *wrong, TRUST, cwd=work, fails=True)
    assert "dataset=custom" in said


@pytest.mark.slow
def test_on_two_processes(work):
    settings = [*MODEL, TRUST, "trainer=ddp_cpu", "trainer.max_epochs=1", f"hydra.run.dir={work}/two"]
    sognet("train", *OWN_SET, *settings, cwd=work)
    assert summary(work / "two")["epochs"] == 1
