"""Planted outliers of energy and force are named, and stresses in other units, signs or forms."""

import re

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.stress import voigt_6_to_full_3x3_stress

from sognet.data import Keys, Structure
from sognet.data.inspection.outliers import find_outliers, sentences
from sognet.data.inspection.stress_checks import stress_warnings


@pytest.fixture(scope="module")
def crystals():
    """Copper at volumes about its equilibrium, with all values of ASE's EMT."""
    rng = np.random.default_rng(1)
    found = []
    for i in range(16):
        atoms = bulk("Cu", cubic=True)
        atoms.set_cell(atoms.cell * (0.97 + 0.004 * i), scale_atoms=True)
        atoms.positions += rng.normal(scale=0.003, size=(4, 3))
        atoms.calc = EMT()
        stress = voigt_6_to_full_3x3_stress(atoms.get_stress())
        atoms.info |= {"energy": atoms.get_potential_energy(), "stress": stress}
        atoms.arrays["forces"] = atoms.get_forces()
        atoms.calc = None
        found.append(Structure.from_atoms(atoms, Keys(), f"a.xyz, frame {i}"))
    return found


def changed(structures, factor=lambda s: 1.0):
    return [
        Structure(s.numbers, s.positions, s.cell, s.pbc, s.source, s.energy, s.forces.copy(), s.stress * factor(s))
        for s in structures
    ]


def test_frames_that_stand_out_are_named_by_composition(crystals):
    structures = changed(crystals)
    assert find_outliers(structures) == []
    structures[3].energy += 4.0  # 1 eV/atom
    structures[7].forces[2] = [40.0, 0.0, 0.0]
    other = [  # another composition, whose forces are large throughout
        Structure(np.array([79] * 4), s.positions, s.cell, s.pbc, f"b.xyz, {s.source}", s.energy, 100.0 * s.forces)
        for s in crystals
    ]
    energy, force = find_outliers(structures + other)
    assert (energy.source, energy.quantity) == ("a.xyz, frame 3", "energy")
    assert energy.value == pytest.approx(1.0, abs=0.15)
    assert (force.source, force.quantity, force.value) == ("a.xyz, frame 7", "force", 40.0)
    said = " ".join(sentences([energy, force]))
    assert "(a.xyz, frame 3)" in said
    assert "40 eV/Å (a.xyz, frame 7)" in said


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (lambda s: 1 / (0.1 * units.GPa), r"set dataset\.stress_unit=kbar$"),
        (lambda s: -1 / (0.1 * units.GPa), r"stress_unit=kbar, and dataset\.stress_sign=-1"),
        (lambda s: 1 / units.GPa, r"set dataset\.stress_unit=GPa$"),
        (lambda s: -1.0, r"wrong sign.*dataset\.stress_sign=-1"),
        (lambda s: -np.linalg.det(s.cell), r"set dataset\.virial_key$"),
    ],
    ids=["kbar", "vasp", "GPa", "sign", "virial"],
)
def test_stress_in_another_form_is_named(crystals, factor, said):
    assert list(stress_warnings(crystals)) == []
    (warning,) = stress_warnings(changed(crystals, factor))
    assert re.search(said, warning), warning


def test_large_stress_of_one_volume_is_named(crystals):
    one_volume = changed(crystals[:1] * 8, lambda s: 1 / (0.1 * units.GPa))
    (warning,) = stress_warnings(one_volume)
    assert "stress is large" in warning
    assert list(stress_warnings(crystals[:1] * 8)) == []
