"""Tables for people have units, those for programs plain names."""

import csv
import json

from sognet.analysis.tables import as_json, write_table


def test_units_stand_in_the_table_for_reading(tmp_path):
    rows = [{"split": "val", "force_rmse": 12345.6, "val/energy_rmse": 0.61284}]
    write_table(rows, ["split", "force_rmse", "stress_rmse", "val/energy_rmse"], tmp_path / "errors")
    head, _, line = (tmp_path / "errors.md").read_text().splitlines()
    assert head == "| split | F RMSE, meV/Å | val E RMSE, meV/atom |"
    assert line == "| val | 12346 | 0.6128 |"
    with (tmp_path / "errors.csv").open() as file:
        assert next(csv.reader(file)) == ["split", "force_rmse", "val/energy_rmse"]
    assert json.loads((tmp_path / "errors.json").read_text()) == rows


def test_json_has_no_numbers_that_json_does_not_have():
    text = as_json({"a": [float("nan"), 1.5], "b": {"c": float("inf")}, "unit": "Å"})
    assert json.loads(text, parse_constant=lambda name: 1 / 0) == {"a": [None, 1.5], "b": {"c": None}, "unit": "Å"}
