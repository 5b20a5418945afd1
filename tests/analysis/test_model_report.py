"""What the report says of the boxes of a data set."""

import pytest
from ase import Atoms

from sognet.analysis.model_report import typical_boxes
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
