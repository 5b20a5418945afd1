"""What the report says of the boxes of a data set."""

import io

import pytest
from ase import Atoms
from rich.console import Console

from sognet.analysis.model_report import print_summary, typical_boxes
from sognet.data import Keys, Splits, Structure


def structures(n: int, pbc: bool) -> list[Structure]:
    atoms = Atoms("NaCl", [[0, 0, 0], [4.0, 1.0, 0.5]], cell=[8.0, 10.0, 12.5], pbc=pbc)
    return [Structure.from_atoms(atoms, Keys(energy=None, forces=None), f"frame {i}") for i in range(n)]


def test_boxes_are_those_of_most_structures():
    periodic = typical_boxes(Splits("made", structures(3, True), structures(2, False)))
    assert periodic.periodic
    assert periodic.length == pytest.approx(10.0)
    clusters = typical_boxes(Splits("made", structures(2, True), structures(3, False)))
    assert not clusters.periodic
    assert clusters.length == pytest.approx(8.0)  # twice the extent


def test_the_table_has_mean_absolute_errors_of_energies_and_forces_alone():
    """So that all columns fit beside each other."""
    errors = {f"{label}_{kind}": 1.0 for label in ("energy", "force", "stress") for kind in ("rmse", "mae")}
    console = Console(file=io.StringIO(), width=120)
    print_summary({"val": {"n_structures": 3} | errors, "figures": {}}, "made", console)
    shown = console.file.getvalue()
    assert shown.count("RMSE") == 3
    assert shown.count("MAE") == 2
