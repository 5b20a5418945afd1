"""Tables for people have units, those for programs plain names."""

import csv
import json

from sognet.analysis.tables import write_table


def test_units_stand_in_the_table_for_reading(tmp_path):
    rows = [{"split": "val", "force_rmse": 12345.6, "val/energy_rmse": 0.61284}]
    write_table(rows, ["split", "force_rmse", "stress_rmse", "val/energy_rmse"], tmp_path / "errors")
    head, _, line = (tmp_path / "errors.md").read_text().splitlines()
    assert head == "| split | F RMSE, meV/Å | val E RMSE, meV/atom |"
    assert line == "| val | 12346 | 0.6128 |"
    with (tmp_path / "errors.csv").open() as file:
        assert next(csv.reader(file)) == ["split", "force_rmse", "val/energy_rmse"]
    assert json.loads((tmp_path / "errors.json").read_text()) == rows
