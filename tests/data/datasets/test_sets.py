"""The data sets by name."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.lj import LennardJones
from ase.io import write
from structures import labelled_atoms

from sognet.data import dimers, dipeptides, electrolyte, from_manual_download, manual_download_sets, water
from sognet.data.datasets.generators.ion_box import COULOMB_CONSTANT
from sognet.data.datasets.generators.ions import PERMITTIVITY, IonCalculator, sample
from sognet.errors import InputError


@pytest.mark.parametrize("split", ["random", "extrapolate"])
def test_dimers(reference_data, split):
    reference_data("dimers/test-id0.xyz")
    splits = dimers("CC", split=split)
    everything = splits.train + splits.test
    assert len(everything) == 13
    assert len(splits.test) == (1 if split == "random" else 3)
    assert {s.charge for s in everything} == {0.0}
    assert all("energyA" in s.info for s in everything)
    if split == "extrapolate":
        assert min(s.info["distance"] for s in splits.test) > max(s.info["distance"] for s in splits.train)


def test_unknown_pair_is_refused():
    with pytest.raises(InputError, match="CC, CA"):
        dimers("XY")


def test_dipeptides(reference_data):
    reference_data("dipeptides/spice-dipep-dipolar_val.xyz")
    splits = dipeptides(splits=["val"])
    structure = splits.val[0]
    assert not structure.pbc.any()
    assert structure.forces.shape == (len(structure), 3)
    assert structure.arrays["mbi_charges"].shape == (len(structure),)
    assert np.size(structure.info["dipole"]) == 3


def test_water(reference_data):
    reference_data("water/data_0/type.raw")
    splits = water()
    assert len(splits.train) + len(splits.val) + len(splits.test) == 320


def test_electrolyte_is_reproducible_and_cached(tmp_path):
    settings = {"n_ions": 8, "n_frames": 4, "val_fraction": 0.25, "test_fraction": 0.25}
    first = electrolyte(root=tmp_path / "a", **settings)
    again = electrolyte(root=tmp_path / "b", **settings)
    other = electrolyte(root=tmp_path / "b", seed=1, **settings)
    (file,) = (tmp_path / "a" / "electrolyte").glob("*.xyz")
    before = file.stat().st_mtime_ns
    cached = electrolyte(root=tmp_path / "a", **settings)
    assert file.stat().st_mtime_ns == before
    for splits in (again, cached):
        np.testing.assert_array_equal(first.train[0].positions, splits.train[0].positions)
    assert not np.allclose(first.train[0].positions, other.train[0].positions)
    with pytest.raises(InputError, match=r"coulomb or short_range"):
        electrolyte("gravity", root=tmp_path)


def test_a_cache_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"electrolyte/coulomb-.*cannot be written.*set paths\.data"):
        electrolyte(root=tmp_path / "file", n_ions=8, n_frames=1)


def test_two_processes_sample_once(tmp_path, monkeypatch):
    """The second waits for the first and reads what it has written."""
    sampled = []

    def slow(*arguments):
        sampled.append(threading.get_ident())
        time.sleep(0.3)
        return sample(*arguments)

    monkeypatch.setattr("sognet.data.datasets.generators.ions.sample", slow)
    settings = {"n_ions": 8, "n_frames": 4, "val_fraction": 0.25, "test_fraction": 0.25, "root": tmp_path}
    with ThreadPoolExecutor(2) as pool:  # file locks of two objects exclude each other in threads as in processes
        first, second = pool.map(lambda _: electrolyte(**settings), range(2))
    assert len(sampled) == 1
    np.testing.assert_array_equal(first.train[0].positions, second.train[0].positions)
    assert [f.suffix for f in (tmp_path / "electrolyte").iterdir() if "part" in f.name] == []


def test_sampling_does_not_depend_on_the_number_of_threads(tmp_path, monkeypatch):
    """The order of sums would change the last bits, and after a few picoseconds the trajectory."""
    threads = []

    def counted(*arguments):
        for frame in sample(*arguments):
            threads.append(torch.get_num_threads())
            yield frame

    monkeypatch.setattr("sognet.data.datasets.generators.ions.sample", counted)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        electrolyte(n_ions=8, n_frames=4, val_fraction=0.25, test_fraction=0.25, root=tmp_path)
        assert threads == [1] * 4
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_an_interrupted_sampling_leaves_nothing(tmp_path, monkeypatch):
    def broken(*arguments):
        yield next(iter(sample(*arguments)))
        raise KeyboardInterrupt

    monkeypatch.setattr("sognet.data.datasets.generators.ions.sample", broken)
    with pytest.raises(KeyboardInterrupt):
        electrolyte(n_ions=8, n_frames=4, root=tmp_path)
    assert list((tmp_path / "electrolyte").glob("*xyz*[!k]")) == []


@pytest.mark.parametrize("name", manual_download_sets())
def test_a_set_to_be_fetched_says_from_where_and_whereto(tmp_path, monkeypatch, name):
    monkeypatch.delenv("SOGNET_DATA", raising=False)
    row = manual_download_sets()[name]
    with pytest.raises(InputError) as caught:
        from_manual_download(name, root=tmp_path)
    said = str(caught.value)
    for expected in (row["page"], str(tmp_path / name), *row["files"], row["citation"], "Licence"):
        assert expected in said
    for i, file in enumerate(row["files"]):
        (tmp_path / name).mkdir(exist_ok=True)
        write(tmp_path / name / file, [labelled_atoms(seed=10 * i + j) for j in range(10)], format="extxyz")
    splits = from_manual_download(name, root=tmp_path)
    assert splits.name == name
    assert sum(len(s) for _, s in splits) == 10 * len(row["files"])


def test_unknown_set_to_be_fetched_is_refused():
    with pytest.raises(InputError, match="molten_nacl"):
        from_manual_download("molten")


def test_ions_feel_coulomb_and_lennard_jones_forces():
    """Two ions in a huge box: like and unlike pairs differ by the Coulomb energy, their mean is ASE's Lennard-Jones."""
    length, distance = 60.0, 3.2
    pair = Atoms("NaCl", positions=[[0, 0, 0], [distance, 0, 0]], cell=[length] * 3, pbc=True)
    energies, forces = {}, {}
    for charge in (1.0, -1.0):
        pair.calc = IonCalculator(np.array([1.0, charge]), length, "short_range")
        energies[charge], forces[charge] = pair.get_potential_energy(), pair.get_forces()
    strength = COULOMB_CONSTANT / PERMITTIVITY
    x = max(0.0, (distance - 3.0) / 3.0)
    switched = (1 - 10 * x**3 + 15 * x**4 - 6 * x**5) / distance
    assert (energies[1.0] - energies[-1.0]) / 2 == pytest.approx(strength * switched, abs=1e-12)
    mean = (forces[1.0] + forces[-1.0]) / 2
    pair.calc = IonCalculator(np.array([1.0, -1.0]), length, "coulomb")
    ewald = pair.get_potential_energy() - (energies[1.0] + energies[-1.0]) / 2
    images = 2 * np.pi / 3 * strength * distance**2 / length**3  # dipoles under tin-foil boundary conditions
    assert ewald == pytest.approx(-strength / distance - images, abs=2e-5)
    pair.calc = LennardJones(sigma=3.0, epsilon=0.01, rc=30.0)
    np.testing.assert_allclose(mean, pair.get_forces(), atol=2e-3)  # ours end at 2σ


def test_short_range_forces_end_at_two_diameters():
    pair = Atoms("NaCl", positions=[[0, 0, 0], [5.9999, 0, 0]], cell=[60.0] * 3, pbc=True)
    pair.calc = IonCalculator(np.array([1.0, -1.0]), 60.0, "short_range")
    np.testing.assert_allclose(pair.get_forces(), 0.0, atol=1e-5)
