"""Training on what a frozen baseline leaves, by the command line: it is evaluated once, and is part of the model."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase.io import read, write
from command import SMALL, sognet

from sognet import SOGNetCalculator, load_model
from sognet.data import read_structures
from sognet.model.baseline_evaluation import BaselineCache

COUNTED = """

class Counted(Repulsive):
    def forward(self, graph):
        if len(graph.z) > 2:  # not on trial
            with open("calls", "a") as file:
                file.write("x" * len(graph.cell))
        return super().forward(graph)
"""

BASELINE = [
    "model/baseline=custom", "model.baseline._target_=counted_here.Counted", "+model.baseline.species=[Na,Cl]",
    "+model.baseline.cutoff=3.0", "+model.baseline.strength=50.0", "+model.baseline.offset=-99.0",
    "trust=[counted_here]", "paths.data=data",
]  # fmt: skip


@pytest.fixture(scope="module")
def work(data, tmp_path_factory) -> Path:
    """A run of two epochs on 16 of 20 structures, energies, forces and stress."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "counted_here.py").write_text((Path(__file__).parents[1] / "own_models.py").read_text() + COUNTED)
    (folder / "mine.xyz").write_bytes(data.read_bytes())
    settings = ["dataset.path=mine.xyz", *SMALL, *BASELINE, "loss.stress=1"]
    sognet("train", *settings, "epochs=2", f"hydra.run.dir={folder}/run", cwd=folder)
    return folder


def calls(work: Path) -> int:
    return len((work / "calls").read_text())


def loaded(work: Path, monkeypatch):
    monkeypatch.chdir(work)
    return load_model("run", trust=["counted_here"])


def test_the_baseline_is_evaluated_once_whatever_is_done_with_the_structures(work):
    assert calls(work) == 20
    sognet("train", "resume=run", "epochs=3", "trust=[counted_here]", cwd=work)
    sognet("evaluate", "checkpoint=run", "trust=[counted_here]", "paths.data=data", "hydra.run.dir=report", cwd=work)
    assert calls(work) == 20
    errors = [json.loads((work / f / "summary.json").read_text())["all"] for f in ("run", "report")]
    assert errors[0]["stress_rmse"] == pytest.approx(errors[1]["stress_rmse"], rel=1e-5)
    assert errors[0]["force_rmse"] == pytest.approx(errors[1]["force_rmse"], rel=1e-5)
    frames = read(work / "mine.xyz", ":5")
    for atoms in frames:
        atoms.rattle(0.01)
    write(work / "others.xyz", frames)
    other = ["dataset=files", "dataset.path=others.xyz", "paths.data=data", "hydra.run.dir=other"]
    sognet("evaluate", "checkpoint=run", *other, "trust=[counted_here]", cwd=work)
    assert calls(work) == 25


def test_reports_and_calculators_are_about_the_sum(work, monkeypatch):
    model = loaded(work, monkeypatch)
    frame = next(a for a in read(work / "run" / "predictions.extxyz", ":") if a.info["split"] == "test")
    expected = frame.get_potential_energy(), frame.get_forces()
    frame.calc = SOGNetCalculator("run", trust=["counted_here"])
    assert frame.get_potential_energy() == pytest.approx(expected[0], rel=1e-6)
    np.testing.assert_allclose(frame.get_forces(), expected[1], atol=1e-4)
    of_baseline = frame.calc.other_results["energy_baseline"]
    assert of_baseline == pytest.approx(-99 * len(frame), rel=0.1)
    assert not {name for name, p in model.named_parameters() if p.requires_grad and name.startswith("baseline")}


def test_the_trained_part_starts_from_what_the_baseline_leaves(work, monkeypatch):
    """Labels have −100 eV/atom and no more; the baseline gives −99 and a repulsion."""
    model = loaded(work, monkeypatch)
    structures = read_structures(work / "mine.xyz")
    known = BaselineCache(model.baseline.identity, work / "data").find(structures)
    left = [s.forces - labels.forces for s, labels in zip(structures, _in_order(structures, known), strict=True)]
    error = json.loads((work / "run" / "summary.json").read_text())["baseline"]["all"]["force_rmse"]
    assert error == pytest.approx(1000 * np.sqrt(np.mean(np.concatenate(left) ** 2)), rel=1e-9)
    assert model.energy_scale == pytest.approx(np.sqrt(np.mean(np.concatenate(left) ** 2)), rel=0.2)
    assert all(-15 < energy < 15 for energy in model.reference_energies.values())


def _in_order(structures, known):
    from sognet.data.baseline_labels import geometry_key

    return [known[geometry_key(s)] for s in structures]


def test_mistakes_are_named_before_training(work):
    settings = ["train", "dataset.path=mine.xyz", *SMALL, "epochs=1", "hydra.run.dir=no"]
    said = sognet(*settings, "model/baseline=sognet", cwd=work, fails=True)
    assert "a baseline is a trained model; set model.baseline.checkpoint" in said
    species = [o.replace("[Na,Cl]", "[Na]") for o in BASELINE]
    said = sognet(*settings, *species, cwd=work, fails=True)
    assert "frame 0" in said
    assert "Cl, which the baseline does not know" in said
    assert not (work / "no" / "checkpoints").exists()
