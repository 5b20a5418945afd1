"""What is taken of a calculator's results, and what it is told of a structure."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes

from sognet.data.labelling.calculators import CalculatorSettings
from sognet.data.labelling.journal import identity_of
from sognet.data.labelling.labels import bare, label_structures
from sognet.data.labelling.results import LabelError, single_point
from sognet.data.labelling.workers import Task

SPRING = CalculatorSettings("own_calculators.Spring", {}, None, ("own_calculators",))


class Everything(Calculator):
    """Results of all kinds, some of which are defined for a crystal alone, others for a molecule alone."""

    implemented_properties = ("energy", "forces", "stress", "dipole", "free_energy")

    def __init__(self, free_energy: float = -1.5, force: float = 0.0) -> None:
        super().__init__()
        self.free_energy, self.force = free_energy, force

    def calculate(self, atoms=None, properties=None, system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        self.results = {
            "energy": -1.0,
            "free_energy": self.free_energy,
            "forces": np.full((len(atoms), 3), self.force),
            "stress": np.arange(6.0),
            "dipole": np.ones(3),
        }


def test_stress_is_that_of_a_crystal_and_the_dipole_that_of_a_molecule():
    crystal, slab = bulk("Cu"), molecule("H2O", vacuum=3.0)
    slab.pbc = (True, True, False)
    assert single_point(Everything(), crystal).keys() == {"energy", "free_energy", "forces", "stress"}
    assert single_point(Everything(), slab).keys() == {"energy", "free_energy", "forces", "stress"}
    molecule_in_a_cell = molecule("H2O", vacuum=3.0)
    assert single_point(Everything(), molecule_in_a_cell).keys() == {"energy", "free_energy", "forces", "dipole"}


def test_a_free_energy_stays_where_it_differs():
    assert single_point(Everything(-1.5), bulk("Cu"))["free_energy"] == -1.5
    assert "free_energy" not in single_point(Everything(-1.0), bulk("Cu"))


def test_forces_that_are_not_finite_are_no_labels():
    with pytest.raises(LabelError, match="forces has a value that is not finite"):
        single_point(Everything(force=np.nan), bulk("Cu"))


def test_initial_charges_and_moments_of_a_file_do_not_reach_the_calculator():
    atoms = molecule("H2O")
    atoms.set_initial_charges([1.0, 0.0, 0.0])
    atoms.set_initial_magnetic_moments([1.0, 0.0, 0.0])
    assert set(bare(atoms).arrays) == {"numbers", "positions"}


def test_the_total_charge_goes_to_the_argument_that_is_named():
    settings = CalculatorSettings("own_calculators.Spring", {"charge": 5.0}, "constant", ("own_calculators",))
    calculator = settings.make(3.0)
    assert (calculator.constant, calculator.charge) == (3, 5.0)


def test_labels_belong_to_structure_charge_and_calculator():
    atoms = molecule("H2O", vacuum=3.0)
    periodic, moved, stretched = atoms.copy(), atoms.copy(), atoms.copy()
    periodic.pbc = True
    moved.positions[0, 0] += 1e-9
    stretched.set_cell(atoms.cell * 1.01)
    others = [[Task(0, a, 0.0)] for a in (periodic, moved, stretched)] + [[Task(0, atoms, 1.0)]]
    identities = {identity_of(tasks, SPRING) for tasks in ([Task(0, atoms, 0.0)], *others)}
    named = CalculatorSettings("own_calculators.Spring", {}, "constant", ("own_calculators",))
    identities |= {identity_of([Task(0, atoms, 0.0)], named)}
    assert len(identities) == 6


def test_a_calculator_works_in_a_folder_of_its_own_which_stays_where_it_is_wanted(tmp_path):
    """`where` writes its folder and the number of its threads."""
    settings = CalculatorSettings("own_calculators.where", {}, None, ("own_calculators",))
    label_structures([molecule("H2O")] * 2, settings, tmp_path / "labels.jsonl", 1, threads=3, keep_files=True)
    for number in (0, 1):
        folder = tmp_path / "calculations" / f"{number:06d}"
        assert (folder / "where.txt").read_text().split() == [str(folder), "3"]
    assert not Path("where.txt").exists()


def test_structures_that_fail_later_do_not_end_a_run(tmp_path):
    frames = [Atoms("H", positions=[[x, 0.0, 0.0]]) for x in [0.0] + [6.0] * 21]
    settings = CalculatorSettings("own_calculators.Spring", {"accident": "exception"}, None, ("own_calculators",))
    labelled = label_structures(frames, settings, tmp_path / "labels.jsonl", 1)
    assert (len(labelled.frames), len(labelled.failed)) == (1, 21)
