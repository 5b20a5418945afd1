"""The sign and scale of the stress are read from energies, forces and volumes, or are said to be beyond them."""

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.io import write
from ase.stress import voigt_6_to_full_3x3_stress

from sognet.data import from_files
from sognet.data.inspection.overview import inspect
from sognet.data.inspection.stress_work import bulk_modulus, energy_over_work

FORMS = {"kbar": 0.1 * units.GPa, "GPa": units.GPa, "eV/Å^3": 1.0}


def labelled(atoms, calculator):
    atoms.calc = calculator
    stress = voigt_6_to_full_3x3_stress(atoms.get_stress())
    atoms.info |= {"energy": atoms.get_potential_energy(), "REF_stress": stress}
    atoms.arrays["forces"] = atoms.get_forces()
    atoms.calc = None
    return atoms


@pytest.fixture(scope="module")
def alloys():
    """Shuffled alloys, far from each other, of nine compositions, in strained cells: energies say nothing."""
    rng = np.random.default_rng(3)
    found = []
    for i in range(24):
        atoms = bulk("Cu", "fcc", a=3.9, cubic=True) * (1, 1, 2)
        atoms.symbols[:] = rng.permutation(["Cu"] * (3 + i % 3) + ["Au"] * (5 - i % 3))
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.02 * rng.normal(size=(3, 3))), scale_atoms=True)
        atoms.rattle(0.1, rng=rng)
        found.append(labelled(atoms, EMT()))
    return found


@pytest.fixture(scope="module")
def walk():
    """Successive frames of argon whose cell changes shape at nearly one volume while atoms move much more."""
    rng = np.random.default_rng(4)
    atoms = bulk("Ar", "fcc", a=5.1, cubic=True)
    atoms.rattle(0.1, rng=rng)
    calculator = LennardJones(sigma=3.4, epsilon=0.0104, rc=10.0, smooth=True)
    found = []
    for _ in range(25):
        shear = 0.01 * rng.normal(size=(3, 3))
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + shear - np.eye(3) * np.trace(shear) / 3), scale_atoms=True)
        atoms.rattle(0.02, rng=rng)
        found.append(labelled(atoms.copy(), calculator))
    return found


def inspected(frames, folder, unit="eV/Å^3", sign=1):
    """Inspection of frames written with their stress in a unit and sign, and read as if it had ASE's sign."""
    written = [a.copy() for a in frames]
    for atoms in written:
        atoms.info["REF_stress"] = sign * atoms.info["REF_stress"] / FORMS[unit]
    write(folder / "s.xyz", written, format="extxyz")
    return inspect(from_files(folder / "s.xyz", stress_key="REF_stress", stress_unit=unit))


@pytest.mark.parametrize("unit", FORMS)
@pytest.mark.parametrize("frames", ["alloys", "walk"])
def test_a_wrong_sign_is_named_in_every_unit_and_the_right_one_is_not(frames, unit, request, tmp_path):
    frames = request.getfixturevalue(frames)
    right = inspected(frames, tmp_path, unit)
    assert not any("stress" in s for s in right["warnings"] + right["notes"])
    wrong = inspected(frames, tmp_path, unit, sign=-1)
    (said,) = [s for s in wrong["warnings"] if "stress" in s]
    assert "the stress has the wrong sign" in said
    assert "dataset.stress_sign=-1" in said
    assert wrong["notes"] == []


def test_the_work_of_forces_and_stress_is_the_change_of_the_energy(walk, tmp_path):
    write(tmp_path / "s.xyz", walk, format="extxyz")
    structures = from_files(tmp_path / "s.xyz", stress_key="REF_stress", val_fraction=0, test_fraction=0).train
    assert energy_over_work(structures) == pytest.approx(1.0, abs=0.02)


def test_the_bulk_modulus_is_that_of_the_crystal(tmp_path):
    """That of a Lennard-Jones crystal at its equilibrium, a = 1.5418 σ, is 75.2 ε/σ³."""
    frames = []
    for i in range(12):
        atoms = bulk("Ar", "fcc", a=1.5418 * 3.4 * (1 + 0.001 * (i - 5.5)), cubic=True)
        frames.append(labelled(atoms, LennardJones(sigma=3.4, epsilon=0.0104, rc=34.0)))
    write(tmp_path / "s.xyz", frames, format="extxyz")
    structures = from_files(tmp_path / "s.xyz", stress_key="REF_stress", val_fraction=0, test_fraction=0).train
    assert bulk_modulus(structures) == pytest.approx(75.2 * 0.0104 / 3.4**3, rel=0.05)


def test_what_cannot_be_checked_is_said_once(walk, tmp_path):
    fixed = [walk[0].copy() for _ in range(12)]
    for i, atoms in enumerate(fixed):
        atoms.rattle(0.05, seed=i)
        labelled(atoms, LennardJones(sigma=3.4, epsilon=0.0104, rc=10.0, smooth=True))
    found = inspected(fixed, tmp_path, sign=-1)
    assert not any("stress" in s for s in found["warnings"])
    (note,) = found["notes"]
    assert note.startswith("the sign of the stress cannot be checked: volumes do not vary")


def test_a_gas_has_no_bulk_modulus(tmp_path):
    """Attraction alone: its virial pulls harder the denser the gas, with the right sign."""
    rng = np.random.default_rng(5)
    frames = []
    for _ in range(20):
        atoms = bulk("Ar", "fcc", a=9.0 * (1 + 0.02 * rng.normal()), cubic=True)
        atoms.rattle(0.2, rng=rng)
        frames.append(labelled(atoms, LennardJones(sigma=3.4, epsilon=0.0104, rc=12.0, smooth=True)))
    assert not any("stress" in s for s in inspected(frames, tmp_path)["warnings"])
