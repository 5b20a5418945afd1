"""Every mistake in the user's files ends in an error that names file, frame and remedy, or in a counted skip."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import write
from structures import graph_of, labelled_atoms, random_atoms, small_model
from torch_geometric.data import Batch

from sognet.data import Keys, Structure, from_files, read_structures
from sognet.errors import InputError

FRAME = 2


def no_energy(atoms):
    del atoms.info["energy"]


def no_forces(atoms):
    del atoms.arrays["forces"]


def nothing(atoms):
    no_energy(atoms)
    no_forces(atoms)
    del atoms.info["stress"]


def nan_force(atoms):
    atoms.arrays["forces"][2, 1] = np.nan


def infinite_energy(atoms):
    atoms.info["energy"] = float("inf")


def infinite_position(atoms):
    atoms.positions[1, 0] = np.inf


def nan_stress(atoms):
    atoms.info["stress"][0] = np.nan


def forces_of_wrong_shape(atoms):
    atoms.arrays["forces"] = atoms.arrays["forces"][:, :2]


def energy_per_atom(atoms):
    atoms.info["energy"] = np.full(len(atoms), -1.0)


def energy_that_is_no_number(atoms):
    atoms.info["energy"] = "high"


def overlap(atoms):
    atoms.positions[1] = atoms.positions[0] + 0.01


def overlap_with_an_image(atoms):
    atoms.positions[1] = atoms.positions[0] + atoms.cell[1] + 0.01


def flat_cell(atoms):
    atoms.cell[2] = atoms.cell[1]


def no_cell(atoms):
    atoms.cell[:] = 0.0


def slab_without_a_vector(atoms):
    atoms.pbc = [True, True, False]
    atoms.cell[1] = 0.0


def no_element(atoms):
    atoms.numbers[3] = 0


MISTAKES = [
    (nothing, r"no `energy`.*dataset\.energy_key"),
    (nan_force, "`forces` has a value that is not finite; remove or repair"),
    (infinite_energy, "`energy` has a value that is not finite"),
    (infinite_position, "a position or the cell is not finite"),
    (nan_stress, "`stress` has a value that is not finite"),
    (forces_of_wrong_shape, r"`forces` has shape \(12, 2\), expected \(12, 3\)"),
    (energy_per_atom, r"`energy` has shape \(12,\), expected \(\)"),
    (energy_that_is_no_number, "`energy` is not a number"),
    (overlap, "atoms 0 and 1 are 0.017 Å apart"),
    (overlap_with_an_image, "atoms 0 and 1 are 0.017 Å apart"),
    (flat_cell, "cell has no volume.*give the lattice vectors"),
    (no_cell, "cell has no volume.*or pbc='F F F'"),
    (slab_without_a_vector, r"pbc = T T F.*cell has no volume"),
    (no_element, "no known element"),
]


@pytest.mark.parametrize(("mistake", "said"), MISTAKES, ids=[m.__name__ for m, _ in MISTAKES])
def test_a_bad_frame_is_named_or_skipped_and_counted(tmp_path, caplog, mistake, said):
    frames = [labelled_atoms(seed=i) for i in range(5)]
    mistake(frames[FRAME])
    path = tmp_path / "bad.xyz"
    write(path, frames, format="extxyz")
    with pytest.raises(InputError, match=rf"bad\.xyz, frame {FRAME}: .*{said}"):
        read_structures(path)
    splits = from_files(str(path), val_fraction=0, test_fraction=0, skip_invalid=True)
    assert [s.source.rpartition(" ")[2] for s in splits.train] == ["0", "1", "3", "4"]
    assert len(splits.skipped) == 1
    assert "skipped 1: " in caplog.text
    assert f"frame {FRAME}" in caplog.text


@pytest.mark.parametrize(("lack", "name"), [(no_energy, "energy"), (no_forces, "forces")])
def test_a_value_may_be_missing_from_some_frames_not_from_all(tmp_path, lack, name):
    frames = [labelled_atoms(seed=i) for i in range(5)]
    write(tmp_path / "full.xyz", frames, format="extxyz")
    lack(frames[FRAME])
    write(tmp_path / "some.xyz", frames, format="extxyz")
    for skipped in (None, []):
        found = read_structures(tmp_path / "some.xyz", skipped=skipped)
        assert [s.value(name) is not None for s in found] == [i != FRAME for i in range(5)]
        assert not skipped
    for atoms in frames[:FRAME] + frames[FRAME + 1 :]:
        lack(atoms)
    write(tmp_path / "none.xyz", frames, format="extxyz")
    with pytest.raises(InputError, match=rf"none\.xyz, frame 0: no `{name}`; it has .*stress.*dataset\.{name}_key"):
        read_structures(tmp_path / "none.xyz")
    splits = from_files(f"{tmp_path}/some.xyz", f"{tmp_path}/none.xyz", test_fraction=0)
    assert all(s.value(name) is None for s in splits.val)
    said = rf"some\.xyz, frame {FRAME}: no `{name}`, which 1 of 5 structures lack.*dataset\.partial_labels=true"
    for paths in (["some.xyz"], ["full.xyz", "some.xyz"], ["full.xyz", "full.xyz", "some.xyz"]):  # train, val, test
        with pytest.raises(InputError, match=said):
            from_files(*(f"{tmp_path}/{p}" for p in paths), partial_labels=False)
    splits = from_files(f"{tmp_path}/full.xyz", f"{tmp_path}/none.xyz", test_fraction=0, partial_labels=False)
    assert len(splits.val) == 5  # a split without any is no mistake
    splits = from_files(
        f"{tmp_path}/some.xyz", val_fraction=0, test_fraction=0, skip_invalid=True, partial_labels=False
    )
    assert [s.source.rpartition(" ")[2] for s in splits.train] == ["0", "1", "3", "4"]
    assert len(splits.skipped) == 1


def test_isolated_atoms_need_no_forces_and_any_frame_no_stress(tmp_path):
    frames = [labelled_atoms(seed=i) for i in range(3)]
    del frames[1].info["stress"]
    frames.append(Atoms("O", [[0.0, 0.0, 0.0]], info={"energy": -1.5}))
    write(tmp_path / "fine.xyz", frames, format="extxyz")
    assert len(read_structures(tmp_path / "fine.xyz", partial_labels=False)) == 4


def test_stress_of_a_wrong_shape_is_refused():
    atoms = labelled_atoms()
    atoms.info["stress"] = np.zeros(4)
    with pytest.raises(InputError, match=r"here, frame 7: `stress` has shape \(4,\); expected 6, 9 or 3×3"):
        Structure.from_atoms(atoms, Keys(), "here, frame 7")


def test_skipping_everything_is_an_error(tmp_path):
    frames = [labelled_atoms(seed=i) for i in range(3)]
    for atoms in frames:
        del atoms.arrays["forces"]
    write(tmp_path / "bad.xyz", frames, format="extxyz")
    with pytest.raises(InputError, match=r"all 3 were skipped, the first because of .*dataset\.forces_key"):
        from_files(str(tmp_path / "bad.xyz"), skip_invalid=True)


def test_frames_before_a_break_in_a_file_are_used(tmp_path):
    write(tmp_path / "whole.xyz", [labelled_atoms(seed=i) for i in range(4)], format="extxyz")
    text = (tmp_path / "whole.xyz").read_text()
    for name, content in (
        ("truncated", text[: int(0.97 * len(text))]),
        ("interrupted", text.replace("\n12\n", "\ntwelve\n", 3)[: len(text)]),
    ):
        path = tmp_path / f"{name}.xyz"
        path.write_text(content)
        broken_at = 3 if name == "truncated" else 1
        with pytest.raises(InputError, match=rf"{name}\.xyz, frame {broken_at}: cannot be read"):
            read_structures(path)
        skipped = []
        assert len(read_structures(path, skipped=skipped)) == broken_at
        assert len(skipped) == 1


@pytest.fixture
def deepmd(tmp_path):
    """A system of two sets with three frames of four atoms."""
    rng = np.random.default_rng(0)
    (tmp_path / "type.raw").write_text("0 0 1 1")
    (tmp_path / "type_map.raw").write_text("Na Cl")
    for name in ("set.000", "set.001"):
        folder = tmp_path / name
        folder.mkdir()
        np.save(folder / "coord.npy", rng.normal(scale=3, size=(3, 12)))
        np.save(folder / "box.npy", np.tile(10 * np.eye(3).ravel(), (3, 1)))
        np.save(folder / "energy.npy", rng.normal(size=3))
        np.save(folder / "force.npy", rng.normal(size=(3, 12)))
    return tmp_path


def truncate(folder):
    file = folder / "set.001" / "force.npy"
    file.write_bytes(file.read_bytes()[:-40])


def lose_a_frame(folder):
    np.save(folder / "set.001" / "force.npy", np.zeros((2, 12)))


def other_number_of_atoms(folder):
    np.save(folder / "set.001" / "force.npy", np.zeros((3, 15)))


def short_type_map(folder):
    (folder / "type_map.raw").write_text("Na")


def unknown_symbol(folder):
    (folder / "type_map.raw").write_text("Na Qq")


def no_type_map(folder):
    (folder / "type_map.raw").unlink()


def no_box(folder):
    (folder / "set.000" / "box.npy").unlink()


def no_sets(folder):
    (folder / "set.000").rename(folder / "old0")
    (folder / "set.001").rename(folder / "old1")


def not_a_type(folder):
    (folder / "type.raw").write_text("Na Na Cl Cl")


def nan_in_an_array(folder):
    forces = np.load(folder / "set.001" / "force.npy")
    forces[1, 0] = np.nan
    np.save(folder / "set.001" / "force.npy", forces)


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (truncate, r"set\.001/force\.npy: not a readable array.*truncated"),
        (lose_a_frame, r"set\.001: force\.npy has shape \(2, 12\), expected \(3, 12\)"),
        (other_number_of_atoms, r"set\.001: force\.npy has shape \(3, 15\)"),
        (short_type_map, "has type 1, but type_map.raw names 1 elements, Na; make the two agree"),
        (unknown_symbol, "type_map.raw names Qq"),
        (no_type_map, "no type_map.raw"),
        (no_box, r"set\.000: no box\.npy.*nopbc"),
        (no_sets, r"no set\.\*"),
        (not_a_type, r"type\.raw: not a list of whole numbers"),
        (nan_in_an_array, r"frame 4: `forces` has a value that is not finite"),
    ],
)
def test_a_broken_deepmd_system_is_named(deepmd, mistake, said):
    mistake(deepmd)
    with pytest.raises(InputError, match=said) as caught:
        read_structures(deepmd)
    assert str(deepmd) in str(caught.value)


@pytest.mark.parametrize("name", ["a.xyz", "a.db", "a.aselmdb", "a.h5", "a.traj", "OUTCAR", "vasprun.xml", "a.log"])
@pytest.mark.parametrize("content", ["empty", "binary", "text"])
def test_a_file_that_is_not_what_its_name_says_is_named(tmp_path, name, content):
    path = tmp_path / name
    random = np.random.default_rng(0).integers(0, 256, 4000, dtype=np.uint8).tobytes()
    path.write_bytes({"empty": b"", "binary": random, "text": b"Lorem ipsum\n" * 300}[content])
    with pytest.raises(InputError, match=name):
        read_structures(path)


def test_a_left_handed_cell_is_taken_as_it_is():
    """Energy, forces and stress do not depend on the order of the lattice vectors."""
    model = small_model().double()
    atoms = random_atoms()
    other = atoms.copy()
    other.set_cell(atoms.cell.array[[1, 0, 2]])
    assert np.linalg.det(other.cell.array) < 0 < np.linalg.det(atoms.cell.array)
    Structure.from_atoms(other, Keys(energy=None, forces=None), "left-handed")
    right, left = (model(Batch.from_data_list([graph_of(a)]), stress=True) for a in (atoms, other))
    for name in ("energy", "forces", "stress"):
        torch.testing.assert_close(left[name], right[name], rtol=1e-9, atol=1e-9)


def test_a_name_of_charges_that_no_frame_has_is_refused(tmp_path):
    """All structures would be neutral without a word."""
    frames = [labelled_atoms(seed=seed) for seed in range(3)]
    frames[1].info["q_total"] = -2.0
    write(tmp_path / "a.xyz", frames)
    with pytest.raises(InputError, match=r"no structure has `qtotal`.*dataset\.charge_key"):
        read_structures(tmp_path / "a.xyz", Keys(charge="qtotal"))
    read = read_structures(tmp_path / "a.xyz", Keys(charge="q_total"))
    assert [s.charge for s in read] == [0.0, -2.0, 0.0]
    assert read_structures(tmp_path / "a.xyz", Keys(charge="qtotal"), required=())


def test_of_a_single_mistake_the_message_is_the_mistake(tmp_path):
    (tmp_path / "a.xyz").touch()
    with pytest.raises(InputError, match=r"a\.xyz: no structures: .*a\.xyz: the file is empty"):
        read_structures(tmp_path / "a.xyz", skipped=[])
