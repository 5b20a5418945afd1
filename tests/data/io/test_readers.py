"""Reading files: what is read is what was written, and mistakes are named."""

import numpy as np
import pytest
from ase.io import write
from structures import labelled_atoms

from sognet.data import Keys, read_structures
from sognet.errors import InputError
from sognet.targets import OF_CHARGES, TARGETS


def written(path, frames):
    write(path, frames, format="extxyz")
    return path


def test_extended_xyz_comes_back(tmp_path):
    frames = [labelled_atoms(seed=i) for i in range(3)]
    structures = read_structures(written(tmp_path / "a.xyz", frames))
    for atoms, structure in zip(frames, structures, strict=True):
        np.testing.assert_array_equal(structure.numbers, atoms.numbers)
        np.testing.assert_allclose(structure.positions, atoms.positions, atol=1e-7)
        np.testing.assert_allclose(structure.forces, atoms.arrays["forces"], atol=1e-7)
        assert structure.energy == pytest.approx(atoms.info["energy"])
        stress = atoms.info["stress"]
        np.testing.assert_allclose(np.diag(structure.stress), stress[:3])
        assert structure.stress[0, 1] == structure.stress[1, 0] == pytest.approx(stress[5])


def test_frames_can_be_selected(tmp_path):
    path = written(tmp_path / "a.xyz", [labelled_atoms(seed=i) for i in range(5)])
    assert len(read_structures(f"{path}@1:3")) == 2


def test_keys_are_configurable(tmp_path):
    atoms = labelled_atoms()
    atoms.info["total_energy"] = atoms.info.pop("energy")
    atoms.arrays["f"] = atoms.arrays.pop("forces")
    path = written(tmp_path / "a.xyz", [atoms])
    with pytest.raises(InputError, match=r"dataset\.energy_key"):
        read_structures(path)
    (structure,) = read_structures(path, Keys(energy="total_energy", forces="f"))
    assert structure.energy == pytest.approx(atoms.info["total_energy"])
    (without,) = read_structures(path, Keys(energy=None, forces=None))
    assert without.energy is None
    assert without.forces is None


def test_a_list_of_one_vector_or_tensor_is_that_vector_or_tensor(tmp_path, monkeypatch):
    for name in ("dipole", "quadrupole"):
        monkeypatch.setitem(TARGETS, name, OF_CHARGES[name])
    atoms = labelled_atoms()
    atoms.pbc = False
    vector, tensor, stress = np.arange(3.0), np.diag([1.0, 2.0, -3.0]), atoms.info["stress"]
    atoms.info |= {"dipole": vector[None], "quadrupole": tensor[None], "stress": np.asarray(stress)[None]}
    (structure,) = read_structures(written(tmp_path / "a.xyz", [atoms]))
    np.testing.assert_array_equal(structure.value("dipole"), vector)
    np.testing.assert_array_equal(structure.value("quadrupole"), tensor)
    np.testing.assert_allclose(np.diag(structure.stress), stress[:3])


def break_force(atoms):
    atoms.arrays["forces"][2, 1] = np.nan


def break_energy(atoms):
    atoms.info["energy"] = float("inf")


def overlap(atoms):
    atoms.positions[1] = atoms.positions[0] + 0.01


def flatten_cell(atoms):
    atoms.cell[2] = atoms.cell[1]


@pytest.mark.parametrize("mistake", [break_force, break_energy, overlap, flatten_cell])
def test_mistakes_name_file_and_frame(tmp_path, mistake):
    frames = [labelled_atoms(seed=i) for i in range(4)]
    mistake(frames[2])
    with pytest.raises(InputError, match=r"bad\.xyz, frame 2"):
        read_structures(written(tmp_path / "bad.xyz", frames))


def test_broken_files_are_named(tmp_path):
    whole = written(tmp_path / "whole.xyz", [labelled_atoms(seed=i) for i in range(4)]).read_text()
    (tmp_path / "truncated.xyz").write_text(whole[: int(0.97 * len(whole))])
    (tmp_path / "empty.xyz").touch()
    (tmp_path / "binary.xyz").write_bytes(np.random.default_rng(0).integers(0, 256, 4000, dtype=np.uint8).tobytes())
    for name in ("truncated", "empty", "binary", "missing"):
        with pytest.raises(InputError, match=rf"{name}\.xyz"):
            read_structures(tmp_path / f"{name}.xyz")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match="no DeePMD-kit system"):
        read_structures(tmp_path / "nothing")


def test_selected_frames_keep_their_numbers(tmp_path):
    path = written(tmp_path / "a.xyz", [labelled_atoms(seed=i) for i in range(5)])
    for selection, numbers in (("1:4:2", [1, 3]), ("-2:", [3, 4]), ("2", [2]), ("-1", [4])):
        found = [s.source.rpartition(" ")[2] for s in read_structures(f"{path}@{selection}")]
        assert found == [str(n) for n in numbers]


def test_deepmd_folder_is_read(reference_data):
    folder = reference_data("water/data_0")
    (first, *_) = structures = read_structures(folder)
    assert len(structures) > 10
    assert len(first) == 192
    assert first.pbc.all()
    assert first.forces.shape == (192, 3)
    assert abs(np.linalg.det(first.cell)) == pytest.approx(12.4447**3, rel=1e-4)
