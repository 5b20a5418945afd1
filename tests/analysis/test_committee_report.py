"""A committee's mean, uncertainty and report against its members one by one."""

import csv
import json

import numpy as np
import pytest
from ase.io import read
from structures import labelled_atoms, small_model

from sognet.analysis.committee_report import committee_prediction, report_committee
from sognet.analysis.predictions import errors, predict_splits
from sognet.data import Keys, Splits, Structure

pytestmark = pytest.mark.usefixtures("double")


@pytest.fixture
def predictions():
    """Of three members with different cutoffs."""
    structures = [
        Structure.from_atoms(labelled_atoms(n, seed=n, pbc=n % 2 == 0), Keys(), f"frame {n}") for n in range(5, 12)
    ]
    splits = Splits("salt", train=structures[:4], test=structures[4:])
    members = {f"member_{i}": small_model(cutoff=4.0 + i, seed=i) for i in range(3)}
    return {name: predict_splits(m, splits, batch_size=3, stress=True) for name, m in members.items()}


def test_mean_and_uncertainty_are_those_of_the_members(predictions):
    for split in ("train", "test"):
        for same in zip(*(p[split] for p in predictions.values()), strict=True):
            mean = committee_prediction(same)
            energies = [p.energy for p in same]
            forces = np.stack([p.forces for p in same])
            assert mean.energy == pytest.approx(np.mean(energies), abs=1e-10)
            assert mean.energy_uncertainty == pytest.approx(np.std(energies, ddof=1))
            np.testing.assert_allclose(mean.forces, forces.mean(0))
            variance = np.square(forces - forces.mean(0)).sum(0) / 2  # (N, 3)
            np.testing.assert_allclose(mean.forces_uncertainty, np.sqrt(variance.mean(1)))
            np.testing.assert_allclose(mean.stress, np.mean([p.stress for p in same], axis=0))
            parts = [p.energy_short_range + p.energy_long_range for p in same]
            assert mean.energy_short_range + mean.energy_long_range == pytest.approx(np.mean(parts))
            np.testing.assert_array_equal(mean.latent[:, 2:4], same[1].latent)


def test_report_holds_members_mean_and_calibration(predictions, tmp_path):
    summary = report_committee(predictions, tmp_path)
    assert summary["members"]["member_1"]["test"] == errors(predictions["member_1"]["test"])
    mean = [committee_prediction(same) for same in zip(*(p["test"] for p in predictions.values()), strict=True)]
    assert summary["test"] == errors(mean)
    assert summary["calibration"]["all"]["forces"]["n"] == sum(range(5, 12))
    assert summary["calibration"]["test"]["energy"]["n"] == 3
    json.dumps(summary, allow_nan=False)
    with (tmp_path / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [r["checkpoint"] for r in rows] == ["member_0", "member_1", "member_2", "committee"]
    assert float(rows[3]["test/force_rmse"]) == summary["test"]["force_rmse"]
    frames = read(tmp_path / "predictions.extxyz", ":")
    assert [len(a) for a in frames] == list(range(5, 12))
    assert frames[-1].info["energy_uncertainty"] == pytest.approx(mean[-1].energy_uncertainty)
    np.testing.assert_allclose(frames[-1].arrays["forces_uncertainty"], mean[-1].forces_uncertainty, atol=1e-7)
    for name in ("figures/calibration.png", "figures/parity.png", "errors.json", "errors.md", "comparison.md"):
        assert (tmp_path / name).is_file(), name


def test_members_without_a_reference_have_no_calibration(predictions, tmp_path):
    for member in predictions.values():
        for prediction in member["train"] + member["test"]:
            prediction.structure.energy = prediction.structure.forces = None
    summary = report_committee(predictions, tmp_path)
    assert summary["calibration"] == {"train": {}, "test": {}, "all": {}}
