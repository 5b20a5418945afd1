"""Errors by split, element and configuration type."""

import csv
import json

import numpy as np
import pytest
from structures import labelled_atoms

from sognet.analysis.error_groups import breakdown, write_breakdown
from sognet.analysis.predictions import Prediction
from sognet.data import Keys, Structure


def prediction(
    n_atoms: int, kind: str, energy_error: float, force_errors: dict[str, float], source: str = "a.xyz, frame 0"
) -> Prediction:
    atoms = labelled_atoms(n_atoms)
    atoms.info["config_type"] = kind
    structure = Structure.from_atoms(atoms, Keys(), source)
    shift = np.array([force_errors[s] for s in atoms.symbols])[:, None]
    energy = structure.energy + energy_error * n_atoms
    return Prediction(structure, energy, energy, 0.0, np.zeros((n_atoms, 0)), forces=structure.forces + shift)


def test_errors_by_element_and_configuration_type(tmp_path):
    bulk = prediction(12, "bulk", 0.001, {"Na": 0.01, "Cl": 0.02})
    slab = prediction(6, "slab", 0.003, {"Na": 0.03, "Cl": 0.02})
    rows = breakdown({"train": [bulk], "test": [slab]})
    found = {(row["split"], row["group"]): row for row in rows}
    assert found["train", "all"]["energy_rmse"] == pytest.approx(1.0)
    assert found["all", "config_type=slab"]["energy_mae"] == pytest.approx(3.0)
    assert found["train", "Na"]["force_rmse"] == pytest.approx(10.0)
    assert found["test", "Na"]["force_mae"] == pytest.approx(30.0)
    assert found["all", "Cl"]["force_rmse"] == pytest.approx(20.0)
    assert found["all", "Na"]["n_atoms"] + found["all", "Cl"]["n_atoms"] == 18
    write_breakdown(rows, tmp_path)
    with (tmp_path / "errors.csv").open() as file:
        read = list(csv.DictReader(file))
    assert [(r["split"], r["group"]) for r in read] == [(r["split"], r["group"]) for r in rows]
    assert (tmp_path / "errors.md").read_text().count("\n") == len(rows) + 2
    with (tmp_path / "errors.json").open() as file:
        assert json.load(file)[0]["force_rmse"] == rows[0]["force_rmse"]


def test_errors_by_system():
    """A system is a source file or a composition; where there is but one it is not listed."""
    first = prediction(12, "", 0.001, {"Na": 0.01, "Cl": 0.01})
    second = prediction(12, "", 0.003, {"Na": 0.03, "Cl": 0.03}, "b.xyz, frame 7")
    small = prediction(6, "", 0.005, {"Na": 0.05, "Cl": 0.05}, "b.xyz, frame 8")
    rows = breakdown({"train": [first], "test": [second, small]})
    found = {(row["split"], row["group"]): row for row in rows}
    assert found["all", "source=a.xyz"]["energy_rmse"] == pytest.approx(1.0)
    assert found["all", "source=b.xyz"]["energy_mae"] == pytest.approx(4.0)
    assert found["all", "formula=Cl6Na6"]["force_mae"] == pytest.approx(20.0)
    assert found["test", "formula=Cl3Na3"]["force_rmse"] == pytest.approx(50.0)
    assert {g for s, g in found if s == "train"} == {"all", "Na", "Cl"}


def test_stress_errors_are_listed_where_there_are_some(tmp_path):
    periodic = prediction(12, "", 0.0, {"Na": 0.0, "Cl": 0.0})
    periodic.stress = periodic.structure.stress + 0.002
    write_breakdown(breakdown({"test": [periodic]}), tmp_path)
    with (tmp_path / "errors.csv").open() as file:
        assert float(next(csv.DictReader(file))["stress_rmse"]) == pytest.approx(2.0)
    periodic.stress = None
    write_breakdown(breakdown({"test": [periodic]}), tmp_path)
    assert "stress" not in (tmp_path / "errors.md").read_text()
