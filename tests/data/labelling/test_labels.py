"""Labels are those of the calculator, each once and kept, in the order of the input, whatever happens meanwhile."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from filelock import FileLock

from sognet.data.labelling.calculators import CalculatorSettings
from sognet.data.labelling.labels import label_structures
from sognet.errors import InputError

EMT_SETTINGS = CalculatorSettings("ase.calculators.emt.EMT")


def spring(charge_argument: str | None = None, **arguments) -> CalculatorSettings:
    return CalculatorSettings("own_calculators.Spring", arguments, charge_argument, ("own_calculators",))


def coppers(n: int) -> list[Atoms]:
    frames = [bulk("Cu", cubic=True) for _ in range(n)]
    for seed, atoms in enumerate(frames):
        atoms.rattle(0.1, seed=seed)
    return frames


def waters(n: int, far: int | None = None) -> list[Atoms]:
    """Molecules with the charges 0, 1, 2, …; one of them has an atom far away."""
    frames = [molecule("H2O") for _ in range(n)]
    for number, atoms in enumerate(frames):
        atoms.rattle(0.05, seed=number)
        atoms.info["charge"] = number
    if far is not None:
        frames[far].positions[0, 0] = 6.0
    return frames


@pytest.mark.parametrize("workers", [1, 3])
def test_labels_are_the_calculators_in_the_order_of_the_input(workers, tmp_path):
    frames = coppers(7)
    labelled = label_structures(frames, EMT_SETTINGS, tmp_path / "labels.jsonl", workers)
    assert labelled.failed == {}
    for frame, atoms in zip(labelled.frames, frames, strict=True):
        atoms.calc = EMT()
        assert frame.get_potential_energy() == atoms.get_potential_energy()
        assert np.array_equal(frame.get_forces(), atoms.get_forces())
        assert np.array_equal(frame.get_stress(), atoms.get_stress())
    assert not (tmp_path / "calculations").exists()


def test_every_structure_has_its_total_charge(tmp_path):
    frames = waters(4)
    labelled = label_structures(frames, spring(), tmp_path / "labels.jsonl", 2)
    for number, frame in enumerate(labelled.frames):
        expected = 0.5 * (frames[number].positions ** 2).sum() + number
        assert frame.get_potential_energy() == pytest.approx(expected, abs=1e-12)
        assert frame.get_charges().sum() == pytest.approx(number)


@pytest.mark.parametrize(
    ("accident", "reason"),
    [
        ("exception", "RuntimeError: SCF not converged"),
        ("nan", "energy has a value that is not finite"),
        ("shape", "forces has the shape (2, 3), not (3, 3)"),
        ("crash", "ended with code 7"),
        ("hang", "took longer than timeout=3 s"),
    ],
)
def test_a_structure_that_fails_is_left_out_with_its_reason(accident, reason, tmp_path):
    timeout = 3.0 if accident == "hang" else None
    frames = waters(5, far=1)
    labelled = label_structures(frames, spring(accident=accident), tmp_path / "labels.jsonl", 2, timeout=timeout)
    assert list(labelled.failed) == [1]
    assert reason in labelled.failed[1]
    assert [frame.info["charge"] for frame in labelled.frames] == [0, 2, 3, 4]
    assert (tmp_path / "calculations" / "000001" / "output.txt").is_file()


def test_what_is_done_is_not_done_again(tmp_path):
    """A line that was cut off when the run was killed counts as not done."""
    frames, log, journal = waters(5), tmp_path / "log", tmp_path / "labels.jsonl"
    whole = label_structures(frames, spring(log=str(log)), journal, 1)
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:4]) + lines[4][:30])
    log.unlink()
    again = label_structures(frames, spring(log=str(log)), journal, 1)
    assert len(log.read_text().splitlines()) == 2
    for one, other in zip(whole.frames, again.frames, strict=True):
        assert np.array_equal(one.get_forces(), other.get_forces())


def test_structures_that_failed_are_tried_again(tmp_path):
    frames, journal = waters(3, far=1), tmp_path / "labels.jsonl"
    timed_out = label_structures(frames, spring(accident="hang"), journal, 1, timeout=4.0)
    assert list(timed_out.failed) == [1]
    again = label_structures(frames, spring(accident="hang"), journal, 1, timeout=2.0)
    assert "timeout=2" in again.failed[1]


def test_another_run_in_the_same_folder_is_refused(tmp_path):
    frames, journal = waters(2), tmp_path / "labels.jsonl"
    label_structures(frames, spring(), journal, 1)
    for others, settings in ((frames, spring(constant=2.0)), (waters(3), spring())):
        with pytest.raises(InputError, match="labels of other structures, or by another calculator"):
            label_structures(others, settings, journal, 1)


def test_two_processes_do_not_label_in_the_same_folder(tmp_path):
    """Each would delete the files with which the other one computes."""
    journal = tmp_path / "labels.jsonl"
    with FileLock(tmp_path / ".labels.jsonl.lock"), pytest.raises(InputError, match="another process writes it"):
        label_structures(waters(2), spring(), journal, 1)
    assert not journal.exists()
    assert len(label_structures(waters(2), spring(), journal, 1).frames) == 2


def test_a_calculator_that_always_fails_is_not_asked_for_everything(tmp_path):
    frames = waters(30)
    for atoms in frames:
        atoms.positions[0, 0] = 6.0
    with pytest.raises(InputError, match=r"20 structures were tried and all failed.*SCF not converged"):
        label_structures(frames, spring(accident="exception"), tmp_path / "labels.jsonl", 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (EMT_SETTINGS, r"structure 0: ase\.calculators\.emt\.EMT does not know Na"),
        (CalculatorSettings("ase.calculators.emt.EMT", {"foo": 1}), r"calculator\.foo: .*; it has asap_cutoff"),
        (spring(charge=1.0), r"not have|takes|charge"),
        (spring(stiffness=1.0), "stiffness"),
        (CalculatorSettings("own_calculators.uncharged", {}, None, ("own_calculators",)), "total charge is 1 e"),
        (CalculatorSettings("own_calculators.Spring"), r"trust=\[own_calculators\]"),
    ],
)
def test_what_cannot_be_computed_is_said_before(settings, message, tmp_path):
    atoms = Atoms("NaCl", positions=[[0, 0, 0], [0, 0, 2.4]], info={"charge": 1.0})
    with pytest.raises(InputError, match=message):
        label_structures([atoms], settings, tmp_path / "labels.jsonl", 1)
    assert not (tmp_path / "labels.jsonl").exists()


def test_arguments_are_named_that_a_calculator_takes_whatever_they_are():
    arguments = {"sigma": 2.0, "sgima": 2.0}
    assert CalculatorSettings("ase.calculators.lj.LennardJones", arguments).unchecked_arguments() == ["sgima"]
    assert spring(constant=2.0).unchecked_arguments() == []


def test_a_slab_is_no_crystal_for_tight_binding(tmp_path):
    pytest.importorskip("tblite")
    slab = molecule("H2O", vacuum=3.0)
    slab.pbc = (True, True, False)
    with pytest.raises(InputError, match="pbc = T T F, and tblite"):
        label_structures([slab], CalculatorSettings("tblite.ase.TBLite"), tmp_path / "labels.jsonl", 1)


def test_tight_binding_labels_ions(tmp_path):
    """The first ionization energy of sodium is 5.14 eV, and GFN1-xTB gives more."""
    pytest.importorskip("tblite")
    frames = [Atoms("Na", info={"charge": charge}) for charge in (0, 1)]
    settings = CalculatorSettings("tblite.ase.TBLite", {"method": "GFN1-xTB", "verbosity": 0})
    labelled = label_structures(frames, settings, tmp_path / "labels.jsonl", 1)
    neutral, ion = (frame.get_potential_energy() for frame in labelled.frames)
    assert 5.0 < ion - neutral < 10.0
    assert labelled.frames[1].get_charges() == pytest.approx([1.0])
