"""Tables of analyses."""

import numpy as np

from sognet.trajectories.results import Curve, Panel, Result
from sognet.trajectories.tables import read_table, write_table


def test_a_table_is_read_as_it_was_written(tmp_path):
    axis, values, errors = np.array([1.0, 2.0]), np.array([-1234.5678, np.nan]), np.array([0.12345678, 3.5e-9])
    panel = Panel("g", "", [Curve("Na-Cl", values, errors)])
    write_table(Result("r", "Å", axis, [panel]), tmp_path / "rdf.csv")
    read = read_table(tmp_path / "rdf.csv")
    assert list(read) == ["r (Å)", "g Na-Cl", "error of g Na-Cl"]
    np.testing.assert_array_equal(list(read.values()), [axis, values, errors])
