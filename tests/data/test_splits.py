"""Splits, statistics and stages."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.io import write
from structures import labelled_atoms, random_atoms

from sognet.data import (
    Keys,
    Splits,
    Stage,
    Structure,
    StructureDataModule,
    build_graph,
    cached_statistics,
    from_files,
    mixture,
    statistics,
)
from sognet.data.splits import epoch_indices, split_off
from sognet.errors import InputError


@pytest.fixture
def structures():
    return [Structure.from_atoms(labelled_atoms(4, seed=i), Keys(), f"frame {i}") for i in range(20)]


def sources(part):
    return {s.source for s in part}


def test_random_split_is_seeded_and_a_partition(structures):
    parts = split_off(structures, 0.1, 0.2, seed=3)
    again = split_off(structures, 0.1, 0.2, seed=3)
    other = split_off(structures, 0.1, 0.2, seed=4)
    assert [len(p) for p in parts] == [14, 2, 4]
    assert [sources(p) for p in parts] == [sources(p) for p in again]
    assert [sources(p) for p in parts] != [sources(p) for p in other]
    assert set().union(*map(sources, parts)) == sources(structures)


def test_another_draw_of_the_validation_part_leaves_the_test_part(structures):
    parts = split_off(structures, 0.1, 0.2, seed=3)
    drawn = [split_off(structures, 0.1, 0.2, seed=3, val_seed=i) for i in range(4)]
    for train, val, test in drawn:
        assert sources(test) == sources(parts[2])
        assert [len(train), len(val)] == [14, 2]
        assert sources(train) | sources(val) == sources(parts[0]) | sources(parts[1])
    assert len({frozenset(sources(val)) for _, val, _ in drawn}) > 1


def single_atom(symbol, energy, box=12.0, pbc=False):
    atoms = Atoms(symbol, [[0, 0, 0]], cell=[box] * 3, pbc=pbc, info={"energy": energy})
    return Structure.from_atoms(atoms, Keys(forces=None), f"single {symbol}")


def test_training_keeps_an_isolated_atom_of_each_element(structures):
    with_atoms = [single_atom("Na", -1.0), single_atom("Cl", -2.0), single_atom("Cl", -2.0), *structures]
    for seed in range(40):
        parts = split_off(with_atoms, 0.3, 0.3, seed)
        assert set(statistics(parts[0]).isolated_energies) == {"Na", "Cl"}
        assert [len(p) for p in parts] == [9, 7, 7]
        assert set().union(*map(sources, parts)) == sources(with_atoms)
        again = [split_off(with_atoms, 0.3, 0.3, seed, val_seed=v) for v in range(4)]
        assert all(set(statistics(p[0]).isolated_energies) == {"Na", "Cl"} for p in again)
        assert len({frozenset(sources(p[2])) for p in again} | {frozenset(sources(parts[2]))}) == 1


def test_the_primitive_cell_of_a_crystal_is_no_isolated_atom():
    crystals = []
    for a in (3.4, 3.61, 3.8):
        copper = bulk("Cu", "fcc", a=a)
        copper.info["energy"] = 99.0
        crystals.append(Structure.from_atoms(copper, Keys(forces=None), "crystal"))
    assert statistics([single_atom("Cu", 3.5), *crystals]).isolated_energies == {"Cu": 3.5}
    assert statistics([single_atom("Cu", 3.5, pbc=True)]).isolated_energies == {"Cu": 3.5}  # a plane-wave program's box
    assert statistics([single_atom("Cu", 3.5, box=5.0, pbc=True)]).isolated_energies == {}


def test_impossible_splits_are_refused(structures):
    with pytest.raises(InputError, match="leave none to train on"):
        split_off(structures[:2], 0.5, 0.5, seed=0)
    with pytest.raises(InputError, match="within 0 and 1"):
        split_off(structures, 1.5, 0.0, seed=0)


def test_files_can_be_given_for_each_split(tmp_path):
    paths = {}
    for name, n in (("train", 6), ("val", 2), ("test", 3)):
        paths[name] = tmp_path / f"{name}.xyz"
        write(paths[name], [labelled_atoms(seed=i) for i in range(n)], format="extxyz")
    splits = from_files(str(paths["train"]), str(paths["val"]), str(paths["test"]))
    assert (len(splits.train), len(splits.val), len(splits.test)) == (6, 2, 3)
    assert splits.name == "train"


def test_reference_energies_are_those_that_made_the_energies():
    structures = []
    for i in range(6):
        atoms = random_atoms(8 + i, seed=i)
        counts = {s: atoms.get_chemical_symbols().count(s) for s in ("Na", "Cl")}
        energy = -4000.25 * counts["Na"] - 12000.5 * counts["Cl"]
        atoms.info["energy"] = energy
        structures.append(Structure.from_atoms(atoms, Keys(forces=None), "made"))
    found = statistics(structures)
    assert found.species == ["Na", "Cl"]
    assert found.reference_energies == pytest.approx({"Na": -4000.25, "Cl": -12000.5}, abs=1e-6)
    assert found.force_rms == 1.0


def test_one_composition_shares_the_energy_out():
    structures = [Structure.from_atoms(labelled_atoms(8, seed=i), Keys(), "made") for i in range(3)]
    energies = statistics(structures).reference_energies
    counts = np.bincount(structures[0].numbers, minlength=18)
    total = energies["Na"] * counts[11] + energies["Cl"] * counts[17]
    assert total == pytest.approx(np.mean([s.energy for s in structures]), abs=2.0)


def with_composition(numbers, energy=None):
    numbers = np.array(numbers)
    positions = 3.0 * np.arange(len(numbers))[:, None] * np.ones(3)
    return Structure(numbers, positions, np.zeros((3, 3)), np.zeros(3, bool), "made", energy)


def test_reference_energies_of_a_long_stream_of_large_energies_are_exact():
    rng = np.random.default_rng(0)
    exact = {1: -13.587222, 8: -2041.836291, 79: -518_123.456}

    def stream():  # longer than what is decomposed at once
        for _ in range(1200):
            numbers = rng.choice(list(exact), size=rng.integers(1, 300))
            yield with_composition(numbers, sum(exact[z] for z in numbers.tolist()))

    found = statistics(stream()).reference_energies
    for symbol, energy in zip(("H", "O", "Au"), exact.values(), strict=True):
        assert found[symbol] == pytest.approx(energy, rel=0, abs=1e-9)


def test_collinear_compositions_and_elements_without_energies_have_finite_energies():
    water = [with_composition([8, 1, 1] * n, -470.0 * n) for n in (1, 2, 3)]
    unlabelled = [with_composition([11, 17])]
    found = statistics(water + unlabelled).reference_energies
    assert found["O"] + 2 * found["H"] == pytest.approx(-470.0, abs=1e-9)
    assert found["Na"] == found["Cl"] == pytest.approx(-470.0 / 3)
    assert max(abs(e) for e in found.values()) < 470.0
    assert statistics(unlabelled).reference_energies == {}


def test_average_number_of_neighbours_is_that_of_the_graphs(structures):
    edges = sum(build_graph(s, 4.0).edge_index.shape[1] for s in structures)
    found = statistics(structures, cutoff=4.0)
    assert found.average_neighbors == edges / sum(map(len, structures))
    assert statistics(structures).average_neighbors is None


def test_statistics_are_read_from_the_cache_until_the_data_change(structures, tmp_path):
    first = cached_statistics(structures, 3.0, tmp_path)
    (file,) = (tmp_path / "statistics").iterdir()
    file.write_text(file.read_text().replace('"species": ["Na", "Cl"]', '"species": ["kept"]'))
    assert cached_statistics(structures, 3.0, tmp_path).species == ["kept"]
    assert cached_statistics(structures[1:], 3.0, tmp_path).species == ["Na", "Cl"]
    assert cached_statistics(structures, 4.0, tmp_path) == statistics(structures, 4.0)
    file.write_text(file.read_text()[:30])
    assert cached_statistics(structures, 3.0, tmp_path) == first  # every digit
    structures[0].energy = np.nextafter(structures[0].energy, 0.0)
    n_files = len(list((tmp_path / "statistics").iterdir()))
    cached_statistics(structures, 3.0, tmp_path)
    assert len(list((tmp_path / "statistics").iterdir())) == n_files + 1


def test_a_cache_that_cannot_be_written_is_left_alone(structures, tmp_path):
    (tmp_path / "file").touch()
    assert cached_statistics(structures, None, tmp_path / "file") == statistics(structures)


def test_weights_say_how_often_a_structure_appears():
    weights = np.array([1.0] * 5 + [2.0] * 4 + [0.25] * 8 + [1.5] * 2)
    epochs = [epoch_indices(weights, epoch, seed=3) for epoch in range(4)]
    assert {len(e) for e in epochs} == {5 + 8 + 2 + 3}
    np.testing.assert_array_equal(np.bincount(np.concatenate(epochs)), 4 * weights)
    for epoch in epochs:
        assert set(np.bincount(epoch, minlength=19)[:9]) == {1, 2}
    assert not np.array_equal(epochs[0], epoch_indices(weights, 0, seed=4))
    np.testing.assert_array_equal(epochs[1], epoch_indices(weights, 1, seed=3))


def test_batches_of_an_epoch_follow_the_weights(structures):
    splits = Splits("s", structures, weights=np.array([2.0] * 3 + [1.0] * (len(structures) - 3)))
    loader = StructureDataModule(splits, 3.0, batch_size=4).train_dataloader()
    seen = torch.cat([batch.id for batch in loader])
    assert torch.bincount(seen).tolist() == splits.weights.tolist()


def test_a_mixture_weighs_its_sources(tmp_path):
    for name, n in (("a", 10), ("b", 20)):
        frames = [labelled_atoms(seed=100 * n + i) for i in range(n)]
        if name == "b":
            for atoms in frames:
                atoms.info["e"] = atoms.info.pop("energy") / 27.211386245988
        write(tmp_path / f"{name}.xyz", frames, format="extxyz")
    sources = {
        "a": {"path": f"{tmp_path}/a.xyz"},
        "b": {"path": f"{tmp_path}/b.xyz", "weight": 3, "energy_key": "e", "test_fraction": 0.0, "stress_key": None},
    }
    splits = mixture(sources, val_fraction=0.2, test_fraction=0.1, seed=1)
    assert (len(splits.train), len(splits.val), len(splits.test)) == (7 + 16, 2 + 4, 1)
    assert splits.name == "a+b"
    assert splits.weights.tolist() == [1.0] * 7 + [3.0] * 16
    assert mixture({"a": sources["a"]}).weights is None
    for broken, said in (
        ({}, "needs dataset.sources"),
        ({"a": {"path": f"{tmp_path}/a.xyz", "weight": 0}}, r"sources\.a\.weight must be a positive number"),
        ({"a": {"path": f"{tmp_path}/a.xyz", "wieght": 2}}, r"sources\.a: .*wieght"),
        ({"a": {"path": f"{tmp_path}/c.xyz"}}, r"sources\.a: .*c\.xyz: no such file"),
    ):
        with pytest.raises(InputError, match=said):
            mixture(broken)


def test_stages_follow_one_another(structures):
    stages = [Stage(2, 3), Stage(4, 6)]
    module = StructureDataModule(Splits("s", structures), 3.0, stages=stages)
    assert module.reload_every_n_epochs == 1
    assert [module.stage_batch_size(e) for e in (0, 2, 3, 8, 100)] == [2, 2, 4, 4, 4]
