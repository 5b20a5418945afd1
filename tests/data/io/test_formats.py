"""The same structures in every format come back the same, and paths of every form find them."""

import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.db import connect
from ase.io import write
from program_outputs import write_cp2k, write_gaussian, write_outcar, write_vasprun
from program_structures import labelled_frames, write_database, write_deepmd
from structures import labelled_atoms

from sognet.data import Keys, Units, from_files, iter_structures, read_structures
from sognet.errors import InputError


def assert_same(structures, frames, positions=0.0, energy=0.0, forces=0.0, stress=1e-14):
    assert len(structures) == len(frames)
    for structure, atoms in zip(structures, frames, strict=True):
        np.testing.assert_array_equal(structure.numbers, atoms.numbers)
        np.testing.assert_array_equal(structure.pbc, atoms.pbc)
        np.testing.assert_allclose(structure.positions, atoms.positions, rtol=0, atol=positions)
        np.testing.assert_allclose(structure.forces, atoms.arrays["forces"], rtol=0, atol=forces)
        np.testing.assert_allclose(structure.cell, atoms.cell.array, rtol=0, atol=1e-12)
        assert structure.energy == pytest.approx(atoms.info["energy"], rel=0, abs=energy)
        if stress is not None:
            voigt = structure.stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
            np.testing.assert_allclose(voigt, atoms.info["stress"], rtol=0, atol=stress)


@pytest.mark.parametrize("name", ["a.xyz", "a.xyz.gz", "a.db", "a.json", "a.aselmdb", "deepmd", "a.hdf5"])
def test_formats_of_full_precision_come_back_exactly(tmp_path, name):
    frames = labelled_frames()
    path = tmp_path / name
    if name == "a.aselmdb":
        pytest.importorskip("ase_db_backends")
    if ".xyz" in name:
        write(path, frames, format="extxyz")
    elif name in ("a.db", "a.json", "a.aselmdb"):
        write_database(path, frames)
    else:
        write_deepmd(path, frames, hdf5=name == "a.hdf5")
    assert_same(read_structures(path), frames)


@pytest.mark.parametrize("name", ["a.xyz", "a.traj", "a.db"])
def test_forces_on_atoms_that_are_held_fixed_are_those_of_the_file(tmp_path, name):
    """ASE sets them to zero where a structure has constraints (mace#1448)."""
    frames = labelled_frames(2)
    held = [atoms.copy() for atoms in frames]
    for atoms in held:
        results = {"energy": atoms.info.pop("energy"), "forces": atoms.arrays.pop("forces")}
        atoms.calc = SinglePointCalculator(atoms, **results, stress=atoms.info.pop("stress"))
        atoms.set_constraint(FixAtoms([0, 2]))
    write(tmp_path / name, held)
    assert_same(read_structures(tmp_path / name), frames, 1e-8, 1e-8, 1e-8, 1e-8)


def test_outputs_of_programs_come_back_to_their_digits(tmp_path):
    frames = labelled_frames()
    assert_same(read_structures(write_outcar(tmp_path / "OUTCAR", frames)), frames, 1e-8, 1e-8, 1e-8, 1e-10)
    assert_same(read_structures(write_vasprun(tmp_path / "vasprun.xml", frames)), frames, 1e-7, 1e-8, 1e-8, 1e-10)
    (free, *_) = read_structures(tmp_path / "OUTCAR", Keys(energy="free_energy"))
    assert free.energy == pytest.approx(frames[0].info["energy"] - 0.5)
    for atoms in frames:
        atoms.pbc = False
        atoms.cell = None
    # 9 decimals of Hartree/Bohr
    assert_same(read_structures(write_gaussian(tmp_path / "g.log", frames)), frames, 1e-8, 1e-8, 1e-7, None)


def test_cp2k_output_comes_back_to_its_digits(tmp_path):
    (atoms,) = labelled_frames(1)
    # 10 decimals of Hartree/Bohr; dpdata's Hartree is of a later CODATA than ASE's, 1e-8 apart
    assert_same(read_structures(write_cp2k(tmp_path / "cp2k.out", atoms)), [atoms], 1e-7, 2e-5, 1e-7, None)
    for broken, reason in (({"converged": False}, "did not converge"), ({"finished": False}, "did not run to its end")):
        with pytest.raises(InputError, match=rf"broken\.out, frame 0.*{reason}"):
            read_structures(write_cp2k(tmp_path / "broken.out", atoms, **broken))


@pytest.mark.parametrize(
    ("name", "writer"), [("OUTCAR", write_outcar), ("vasprun.xml", write_vasprun), ("g.log", write_gaussian)]
)
def test_an_output_that_was_cut_off_is_an_error_or_gives_its_complete_frames(tmp_path, name, writer):
    path = writer(tmp_path / name, labelled_frames(), finished=False)
    with pytest.raises(InputError, match=rf"{name}, frame 3: .*skip_invalid"):
        read_structures(path)
    skipped = []
    assert len(read_structures(path, skipped=skipped)) == 3
    assert len(skipped) == 1


def test_mixed_type_deepmd_is_read(tmp_path):
    """The form of dpdata's mixed systems: the types of each frame in real_atom_types, −1 for no atom."""
    one, other = labelled_atoms(4, seed=0), labelled_atoms(3, seed=1)
    folder = tmp_path / "4" / "set.000"
    folder.mkdir(parents=True)
    (tmp_path / "4" / "type.raw").write_text("0\n" * 4)
    (tmp_path / "4" / "type_map.raw").write_text("Na\nCl\n")
    types, coordinates, forces = np.full((2, 4), -1), np.zeros((2, 4, 3)), np.zeros((2, 4, 3))
    for i, atoms in enumerate((one, other)):
        n = len(atoms)
        types[i, :n] = [["Na", "Cl"].index(s) for s in atoms.get_chemical_symbols()]
        coordinates[i, :n], forces[i, :n] = atoms.positions, atoms.arrays["forces"]
    for key, value in (
        ("real_atom_types", types),
        ("coord", coordinates.reshape(2, -1)),
        ("force", forces.reshape(2, -1)),
        ("box", np.stack([a.cell.array.ravel() for a in (one, other)])),
        ("energy", np.array([a.info["energy"] for a in (one, other)])),
        ("charge", np.array([1.0, -1.0])),
    ):
        np.save(folder / f"{key}.npy", value)
    structures = read_structures(tmp_path)
    assert_same(structures, [one, other], stress=None)
    assert [s.charge for s in structures] == [1.0, -1.0]


def test_deepmd_frames_need_no_energy_and_keep_their_order(tmp_path):
    """dpdata needs energies and sorts the frames of mixed systems by composition."""
    folder = tmp_path / "4" / "set.000"
    folder.mkdir(parents=True)
    (tmp_path / "4" / "type.raw").write_text("0\n" * 4)
    (tmp_path / "4" / "type_map.raw").write_text("Na\nCl\n")
    frames = [labelled_atoms(4 - i % 2, seed=i) for i in range(4)]
    types, coordinates, forces = np.full((4, 4), -1), np.zeros((4, 4, 3)), np.zeros((4, 4, 3))
    for i, atoms in enumerate(frames):
        types[i, : len(atoms)] = atoms.numbers == 17
        coordinates[i, : len(atoms)], forces[i, : len(atoms)] = atoms.positions, atoms.arrays["forces"]
    np.save(folder / "real_atom_types.npy", types)
    np.save(folder / "coord.npy", coordinates.reshape(4, -1))
    np.save(folder / "force.npy", forces.reshape(4, -1))
    np.save(folder / "box.npy", np.stack([atoms.cell.array.ravel() for atoms in frames]))
    structures = read_structures(tmp_path, Keys(energy=None))
    assert [len(s.numbers) for s in structures] == [4, 3, 4, 3]
    for structure, atoms in zip(structures, frames, strict=True):
        np.testing.assert_array_equal(structure.numbers, atoms.numbers)
        np.testing.assert_array_equal(structure.forces, atoms.arrays["forces"])
        assert structure.energy is None


def test_paths_may_be_folders_patterns_and_lists(tmp_path):
    frames = labelled_frames(6)
    (tmp_path / "runs" / "1").mkdir(parents=True)
    (tmp_path / "runs" / "2").mkdir()
    write_outcar(tmp_path / "runs" / "1" / "OUTCAR", frames[:2])
    write_vasprun(tmp_path / "runs" / "1" / "vasprun.xml", frames[:2])  # the same frames with more digits
    write_outcar(tmp_path / "runs" / "2" / "OUTCAR", frames[2:4])
    write_cp2k(tmp_path / "runs" / "cp2k.out", frames[4])
    write_deepmd(tmp_path / "runs" / "deepmd", frames[5:])
    (tmp_path / "runs" / "notes.txt").write_text("not a structure")
    (tmp_path / "runs" / "x-pos-1.xyz").write_text("1\n i = 0, E = 1.0\nNa 0 0 0\n")
    write(tmp_path / "a.xyz", frames[:4], format="extxyz")
    found = [s.source.rpartition("/runs/")[2] for s in iter_structures(tmp_path / "runs")]
    assert found == [
        "1/vasprun.xml, frame 0",
        "1/vasprun.xml, frame 1",
        "2/OUTCAR, frame 0",
        "2/OUTCAR, frame 1",
        "cp2k.out, frame 0",
        "deepmd, frame 0",
    ]
    assert len(read_structures(f"{tmp_path}/runs/*/OUTCAR")) == 4
    assert len(read_structures(f"{tmp_path}/**/OUTCAR@:1")) == 2
    assert len(read_structures([f"{tmp_path}/a.xyz@:3", tmp_path / "runs" / "2"])) == 5
    write(tmp_path / "b@300K.xyz", frames[:2], format="extxyz")
    assert len(read_structures(tmp_path / "b@300K.xyz")) == 2
    with pytest.raises(InputError, match="no file matches"):
        read_structures(f"{tmp_path}/runs/*/OUTCAT")


def test_databases_answer_queries_and_keep_their_key_value_pairs(tmp_path):
    with connect(tmp_path / "a.db") as database:
        for n_atoms in (4, 6, 8):
            atoms = labelled_atoms(n_atoms)
            values = {"e": atoms.info["energy"]}
            database.write(atoms, key_value_pairs=values, data={"f": atoms.arrays["forces"], "charge": 1})
    structures = read_structures(f"{tmp_path}/a.db@natoms>5", Keys(energy="e", forces="f"))
    assert [len(s) for s in structures] == [6, 8]
    assert structures[0].charge == 1.0


@pytest.mark.parametrize(
    ("energy", "length", "force", "stress", "eV", "Å", "force_factor", "stress_factor"),
    [
        ("Hartree", "Bohr", None, None, 27.211386, 0.5291772, 51.42207, 183.6315),
        ("kcal/mol", "Å", None, None, 0.0433641, 1.0, 0.0433641, 0.0433641),
        ("eV", "Å", "Hartree/Bohr", "GPa", 1.0, 1.0, 51.42207, 1 / 160.21766),
        ("Ry", "nm", "kcal/mol/Angstrom", "kbar", 13.605693, 10.0, 0.0433641, 1 / 1602.1766),
        ("kJ/mol", "Angstrom", None, "meV/Å^3", 0.01036427, 1.0, 0.01036427, 1e-3),
        ("meV", "nm", None, "bar", 1e-3, 10.0, 1e-4, 1 / 1602176.6),
    ],
)
def test_units_are_turned_into_those_of_a_structure(
    tmp_path, energy, length, force, stress, eV, Å, force_factor, stress_factor
):
    atoms = labelled_atoms()
    write(tmp_path / "a.xyz", atoms, format="extxyz")
    plain = read_structures(tmp_path / "a.xyz")[0]
    found = read_structures(tmp_path / "a.xyz", units=Units(energy, length, force, stress))[0]
    np.testing.assert_allclose(found.positions, plain.positions * Å, rtol=1e-6)
    np.testing.assert_allclose(found.cell, plain.cell * Å, rtol=1e-6)
    np.testing.assert_allclose(found.forces, plain.forces * force_factor, rtol=1e-6)
    np.testing.assert_allclose(found.stress, plain.stress * stress_factor, rtol=1e-5)
    assert found.energy == pytest.approx(plain.energy * eV, rel=1e-6)


def test_units_that_are_unknown_or_not_to_be_changed_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"dataset\.energy_unit: there is no 'Hartee'"):
        Units(energy="Hartee")
    with pytest.raises(InputError, match=r"dataset\.force_unit"):
        Units(force="GPa")
    path = write_outcar(tmp_path / "OUTCAR", labelled_frames())
    with pytest.raises(InputError, match="read in eV and Å"):
        from_files(str(path), energy_unit="Hartree")
