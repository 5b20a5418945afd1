"""What the report says of the boxes of a data set."""

import io
import itertools

import numpy as np
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
    assert clusters.length == pytest.approx(2 * (4.0**2 + 1.0 + 0.25) ** 0.5)  # twice the largest distance


def test_the_extent_of_a_cluster_is_its_largest_distance():
    """A cube has no edge beyond the cutoff where it has a diagonal beyond it."""
    cube = Atoms("NaClNaClNaClNaCl", 3.0 * np.array(list(itertools.product([0, 1], repeat=3))))
    boxes = typical_boxes(Splits("cube", [Structure.from_atoms(cube, Keys(energy=None, forces=None), "cube")]))
    assert boxes.length == pytest.approx(2 * 3.0 * 3**0.5)


def test_the_table_has_mean_absolute_errors_of_energies_and_forces_alone():
    """So that all columns fit beside each other."""
    errors = {f"{label}_{kind}": 1.0 for label in ("energy", "force", "stress") for kind in ("rmse", "mae")}
    console = Console(file=io.StringIO(), width=120)
    print_summary({"val": {"n_structures": 3} | errors, "figures": {}}, "made", console)
    shown = console.file.getvalue()
    assert shown.count("RMSE") == 3
    assert shown.count("MAE") == 2
