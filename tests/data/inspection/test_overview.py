"""Inspection counts what is there and names planted mistakes, and no others."""

import json
import re

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write
from hydra import compose, initialize_config_dir
from structures import labelled_atoms

from sognet.cli.configuration import CONFIGURATION
from sognet.data import Keys, Splits, Structure, from_files
from sognet.data.inspection.overview import inspect, nearest_distances, print_inspection, run
from sognet.data.inspection.repeated import duplicates
from sognet.data.inspection.sanity_checks import all_electron_energy


@pytest.fixture(scope="module")
def frames():
    """A walk of small steps of a periodic crystal, with the energies and forces of ASE's EMT."""
    rng = np.random.default_rng(0)
    atoms = bulk("Cu", cubic=True) * (2, 1, 1)
    atoms.symbols[1] = "Au"
    atoms.rattle(0.1, seed=1)
    walk = []
    for _ in range(12):
        atoms.positions += rng.normal(scale=0.02, size=(len(atoms), 3))
        frame = atoms.copy()
        frame.calc = EMT()
        frame.info["energy"] = frame.get_potential_energy()
        frame.arrays["forces"] = frame.get_forces()
        frame.calc = None
        walk.append(frame)
    return walk


def splits_of(frames, change=lambda atoms: None):
    changed = [atoms.copy() for atoms in frames]
    for atoms in changed:
        change(atoms)
    structures = [Structure.from_atoms(a, Keys(), f"a.xyz, frame {i}") for i, a in enumerate(changed)]
    return Splits("made", structures[2:], structures[:1], structures[1:2])


def test_nothing_is_wrong_with_consistent_data(frames):
    found = inspect(splits_of(frames))
    assert found["warnings"] == []
    assert found["duplicates"]["pairs"] == []
    train = found["splits"]["train"]
    assert train["n_structures"] == 10
    assert train["elements"] == {"Cu": 70, "Au": 10}
    assert train["n_atoms"] == {"min": 8, "mean": 8.0, "max": 8}
    assert train["periodic_directions"] == {3: 10}
    assert train["without"] == {"energy": 0, "forces": 0, "stress": 10}
    forces = np.concatenate([a.arrays["forces"] for a in frames[2:]])
    assert train["forces"]["rms"] == pytest.approx(np.sqrt(np.square(forces).mean()))
    assert train["forces"]["max"] == pytest.approx(np.linalg.norm(forces, axis=1).max())
    energies = [a.info["energy"] / 8 for a in frames[2:]]
    assert train["energy_per_atom"]["min"] == pytest.approx(min(energies))
    json.dumps(found)


def scale(energy=1.0, forces=1.0, length=1.0):
    def change(atoms):
        atoms.info["energy"] *= energy
        atoms.arrays["forces"] *= forces
        atoms.set_cell(atoms.cell.array * length, scale_atoms=True)

    return change


def all_electron_in_hartree(atoms):
    energy = atoms.info["energy"] / units.Hartree + all_electron_energy(atoms.numbers)
    atoms.info["energy"] = energy
    atoms.arrays["forces"] *= units.Bohr / units.Hartree


def push(atoms):
    atoms.arrays["forces"][:, 0] += 0.1


def smear(atoms):
    """As VASP's two energies of a metal: that of no smearing, and that of which the forces are derivatives."""
    energy = atoms.info["energy"] - 1000.0
    free = energy - 0.02 * len(atoms) * (1 + np.sin(100 * atoms.positions[0, 0]))
    atoms.info.update(energy=energy, free_energy=free)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (smear, "differ by -.* meV/atom.*dataset.energy_key=free_energy"),  # QUIP#225
        (scale(forces=-1.0), "wrong sign"),
        (scale(energy=1 / units.Hartree), "energies in Hartree with forces in eV/Å"),
        (scale(forces=units.mol / units.kcal), "forces are large.*kcal/mol/Å"),
        (scale(forces=0.01 * units.Bohr / units.Hartree), "forces are small"),
        (scale(forces=units.Bohr / units.Hartree), "energies in eV with forces in Hartree/Bohr"),
        (scale(length=1 / units.Bohr), r"median\): positions in Bohr"),
        (scale(length=1 / units.Bohr), "forces in eV/Å with positions in Bohr"),
        (scale(forces=0.0), "all forces are zero"),
        (all_electron_in_hartree, "dataset.energy_unit=Hartree"),
        (push, "do not add up to zero"),
    ],
)
def test_planted_mistakes_are_named(frames, change, said):
    found = inspect(splits_of(frames, change))["warnings"]
    assert any(re.search(said, s) for s in found), found


def test_free_energies_that_differ_by_a_constant_or_are_of_another_unit_are_no_mistake(frames):
    for change in (lambda e: e - 0.4, lambda e: e / units.Hartree):
        free = [a.copy() for a in frames]
        for atoms in free:
            atoms.info["free_energy"] = change(atoms.info["energy"])
        assert inspect(splits_of(free))["warnings"] == []


def test_forces_of_other_frames_are_noticed(frames):
    forces = [a.arrays["forces"] for a in frames]
    shuffled = [a.copy() for a in frames]
    for atoms, other in zip(shuffled, np.random.default_rng(0).permutation(len(frames)), strict=True):
        atoms.arrays["forces"] = forces[other][::-1]
    assert any("do not belong together" in s for s in inspect(splits_of(shuffled))["warnings"])


def test_an_outlying_energy_is_named(frames):
    changed = [a.copy() for a in frames]
    changed[7].info["energy"] += 30.0
    (said, *_) = [s for s in inspect(splits_of(changed))["warnings"] if "their composition" in s]
    assert "energies of 1 structure " in said
    assert "a.xyz, frame 7" in said


def test_all_electron_energies_are_estimated():
    # non-relativistic energies of atoms, Hartree: H, C, Ne, Ar
    for z, exact, error in ((1, -0.5, 0.08), (6, -37.845, 0.02), (10, -128.94, 0.02), (18, -527.54, 0.02)):
        assert all_electron_energy(np.array([z])) == pytest.approx(exact, rel=error)


def test_duplicates_are_found_within_and_across_splits(frames):
    splits = splits_of(frames)
    almost = splits_of(frames, lambda a: a.positions.__iadd__(3e-5)).train[4]
    almost.energy += 0.8
    other = splits_of(frames, lambda a: a.positions.__iadd__(3e-4)).train[5]
    splits.train += [splits.train[0], almost, other]
    splits.test += [splits.val[0]]
    found = {(d.splits, d.sources): d.energy_difference for d in duplicates(splits)}
    assert found == {
        (("train", "train"), ("a.xyz, frame 2",) * 2): 0.0,
        (("train", "train"), ("a.xyz, frame 6",) * 2): pytest.approx(0.1),
        (("val", "test"), ("a.xyz, frame 0",) * 2): 0.0,
    }
    said = " ".join(inspect(splits)["warnings"])
    assert "1 structure in two splits" in said
    assert "another energy" in said


def test_nearest_distances_are_those_of_the_images():
    pair = Atoms("NaCl", positions=[[0.2, 0, 0], [9.0, 0, 0]], cell=[10, 3.5, 20], pbc=True)
    found = nearest_distances(Structure.from_atoms(pair, Keys(energy=None, forces=None), "made"))
    expected = {("Na", "Cl"): 1.2, ("Na", "Na"): 3.5, ("Cl", "Cl"): 3.5}
    assert {tuple(sorted(k)): v for k, v in found.items()} == pytest.approx(
        {tuple(sorted(k)): v for k, v in expected.items()}
    )


def test_the_command_prints_and_writes_what_it_found(tmp_path, capsys, frames):
    bad = labelled_atoms(seed=9)
    bad.info["energy"] = np.nan
    write(tmp_path / "mine.xyz", [*frames, bad], format="extxyz")
    with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        config = compose("data_inspect", [f"dataset.path={tmp_path}/mine.xyz", f"folder={tmp_path}/out"])
    run(config)
    found = json.loads((tmp_path / "out" / "inspection.json").read_text())
    assert found["splits"]["train"]["n_structures"] == 10
    assert len(found["skipped"]) == 1
    printed = capsys.readouterr().out
    assert "structures that cannot be used: 1" in printed
    assert "mine.xyz, frame 12: `energy` has a value that is not finite" in printed
    assert "nothing looks like a mistake" in printed


def test_charges_that_vary_are_pointed_out(frames, capsys):
    print_inspection(inspect(splits_of(frames)))
    assert "total_charge" not in capsys.readouterr().out
    splits = splits_of(frames)
    splits.train[0].charge = 1.0
    print_inspection(inspect(splits))
    assert "total charges vary: model.total_charge=true" in capsys.readouterr().out


@pytest.mark.parametrize("n", [1, 2])
def test_structures_too_few_to_split_are_inspected_together(tmp_path, frames, n):
    write(tmp_path / "mine.xyz", frames[:n], format="extxyz")
    with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        config = compose("data_inspect", [f"dataset.path={tmp_path}/mine.xyz", f"folder={tmp_path}/out"])
    run(config)
    splits = json.loads((tmp_path / "out" / "inspection.json").read_text())["splits"]
    assert {split: found["n_structures"] for split, found in splits.items()} == {"train": n}


def test_skipped_structures_of_a_split_are_not_in_it(tmp_path, frames):
    broken = frames[3].copy()
    broken.arrays["forces"][0, 0] = np.nan
    write(tmp_path / "mine.xyz", [*frames[:3], broken, *frames[4:]], format="extxyz")
    splits = from_files(f"{tmp_path}/mine.xyz", skip_invalid=True)
    assert sum(len(s) for _, s in splits) == len(frames) - 1
