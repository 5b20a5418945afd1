"""Splits, statistics and the sharing out of structures over batches and ranks."""

import numpy as np
import pytest
from ase.io import write
from structures import labelled_atoms, random_atoms

from sognet.data import Keys, Splits, Stage, Structure, StructureDataModule, from_files, statistics
from sognet.data.datamodule import GraphDataset
from sognet.data.splits import split_off
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


def test_composition_energies_are_those_that_made_the_energies():
    structures = []
    for i in range(6):
        atoms = random_atoms(8 + i, seed=i)
        counts = {s: atoms.get_chemical_symbols().count(s) for s in ("Na", "Cl")}
        energy = -4000.25 * counts["Na"] - 12000.5 * counts["Cl"]
        atoms.info["energy"] = energy
        structures.append(Structure.from_atoms(atoms, Keys(forces=None), "made"))
    found = statistics(structures)
    assert found.species == ["Na", "Cl"]
    assert found.composition_energies == pytest.approx({"Na": -4000.25, "Cl": -12000.5}, abs=1e-6)
    assert found.force_rms == 1.0


def test_one_composition_shares_the_energy_out():
    structures = [Structure.from_atoms(labelled_atoms(8, seed=i), Keys(), "made") for i in range(3)]
    energies = statistics(structures).composition_energies
    counts = np.bincount(structures[0].numbers, minlength=18)
    total = energies["Na"] * counts[11] + energies["Cl"] * counts[17]
    assert total == pytest.approx(np.mean([s.energy for s in structures]), abs=2.0)


def test_padding_for_ranks_is_marked(structures):
    dataset = GraphDataset(structures[:5], cutoff=3.0, multiple_of=4)
    graphs = [dataset[i] for i in range(len(dataset))]
    assert len(graphs) == 8
    assert [bool(g.counted) for g in graphs] == [True] * 5 + [False] * 3


def test_stages_follow_one_another(structures):
    stages = [Stage(2, 3), Stage(4, 6)]
    module = StructureDataModule(Splits("s", structures), 3.0, stages=stages)
    assert module.reload_every_n_epochs == 3
    assert [module.stage_batch_size(e) for e in (0, 2, 3, 8, 100)] == [2, 2, 4, 4, 4]
