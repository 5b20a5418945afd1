"""Sets that tight binding labels: what is sampled, and that it is labelled once."""

import numpy as np
import pytest
from ase.data import vdw_radii
from scipy.spatial.distance import cdist

from sognet import extras
from sognet.data import charge_transfer, ion_pairs, molten_salt
from sognet.data.datasets.generators import melt
from sognet.data.datasets.generators.charged_systems import chain, cluster, path_cluster
from sognet.data.datasets.generators.labelled_cache import TIGHT_BINDING
from sognet.data.datasets.generators.melt import TosiFumi, crystal
from sognet.data.datasets.generators.molecule_pairs import CONTACT, MOLECULES, PAIRS, pair
from sognet.data.labelling.calculators import CalculatorSettings
from sognet.data.labelling.labels import label_structures
from sognet.errors import InputError


def test_clusters_differ_by_the_far_atom_alone():
    """The atom that moves has the same neighbourhood up to 9 Å in both."""
    complete, without = path_cluster(True, 0.3), path_cluster(False, 0.3)
    assert (complete.get_chemical_formula(), without.get_chemical_formula()) == ("Cl8Na9", "Cl8Na8")
    assert np.array_equal(complete.positions[:-1], without.positions)
    assert complete.get_distance(0, 16) > 9.0
    assert (complete.info["charge"], without.info["charge"]) == (1, 1)
    assert path_cluster(False, 0.0, "ion").info["charge"] == 0


@pytest.mark.parametrize("make", [lambda rng: cluster(rng, 0.05, "ion"), lambda rng: chain(rng, 0.05)])
def test_both_systems_are_sampled_with_charges_that_leave_closed_shells(make):
    rng = np.random.default_rng(0)
    frames = [make(rng) for _ in range(40)]
    numbers = [len(atoms) for atoms in frames]
    assert 10 < numbers.count(max(numbers)) < 30
    assert all((atoms.numbers.sum() - atoms.info["charge"]) % 2 == 0 for atoms in frames)


@pytest.mark.parametrize("names", PAIRS, ids=" ".join)
def test_pairs_reach_from_contact_to_the_largest_distance(names):
    rng = np.random.default_rng(0)
    frames = [pair(rng, *names, 15.0, 0.0) for _ in range(60)]
    n = len(MOLECULES[names[0]][0])
    distances = [np.linalg.norm(a.positions[:n].mean(0) - a.positions[n:].mean(0)) for a in frames]
    assert min(distances) < 5.0
    assert 13.0 < max(distances) <= 15.0
    for atoms in frames:
        radii = vdw_radii[atoms.numbers]
        gap = cdist(atoms.positions[:n], atoms.positions[n:]) / (radii[:n, None] + radii[n:])
        assert gap.min() > CONTACT - 1e-9
        assert atoms.info["charge"] == sum(MOLECULES[name][1] for name in names)


def test_forces_of_the_melt_are_derivatives():
    atoms = crystal(2)
    atoms.rattle(0.2, seed=1)
    atoms.calc = TosiFumi(atoms.cell.lengths()[0])
    forces = atoms.get_forces()
    energies = []
    for step in (1e-4, -1e-4):
        moved = atoms.copy()
        moved.positions[5, 1] += step
        moved.calc = TosiFumi(atoms.cell.lengths()[0])
        energies.append(moved.get_potential_energy())
    assert forces[5, 1] == pytest.approx((energies[1] - energies[0]) / 2e-4, abs=1e-5)


def test_the_crystal_has_the_lattice_energy_and_density_of_rock_salt():
    """766 kJ/mol by experiment: 7.94 eV for each pair at a = 5.64 Å, which is 2.16 g/cm³."""
    atoms = crystal(3, density=2.163)
    assert atoms.cell.lengths()[0] / 3 == pytest.approx(5.64, abs=0.01)
    atoms.calc = TosiFumi(atoms.cell.lengths()[0])
    assert 2 * atoms.get_potential_energy() / len(atoms) == pytest.approx(-7.94, abs=0.15)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: charge_transfer("gold", root=root), r"dataset\.system must be nacl_clusters or carbon_chain"),
        (lambda root: charge_transfer(method="PBE", root=root), r"dataset\.method must be GFN1-xTB or GFN2-xTB"),
        (lambda root: charge_transfer(n_frames=1, root=root), "n_frames of at least 2"),
        (lambda root: ion_pairs(largest_distance=3.0, root=root), "largest_distance of 8 to 50"),
        (lambda root: molten_salt(temperature=300.0, root=root), "temperature of 1000"),
    ],
)
def test_settings_out_of_range_are_named(make, message, tmp_path):
    with pytest.raises(InputError, match=message):
        make(str(tmp_path))


@pytest.mark.slow
def test_a_set_is_labelled_once_whatever_the_number_of_workers(tmp_path, monkeypatch):
    pytest.importorskip("tblite")
    settings = {"n_frames": 8, "val_fraction": 0.0, "test_fraction": 0.0}
    one = charge_transfer("carbon_chain", **settings, workers=1, root=str(tmp_path / "one"))
    two = charge_transfer("carbon_chain", **settings, workers=2, root=str(tmp_path / "two"))
    monkeypatch.setattr(extras, "find_spec", lambda package: None)
    again = charge_transfer("carbon_chain", **settings, root=str(tmp_path / "one"))
    for first, second, third in zip(one.train, two.train, again.train, strict=True):
        assert first.energy == second.energy == third.energy
        assert np.array_equal(first.forces, second.forces)
        assert first.info["charges"].sum() == pytest.approx(first.charge, abs=1e-6)
    (folder,) = (tmp_path / "one").iterdir()
    assert [f.suffix for f in folder.iterdir() if not f.name.endswith(".lock")] == [".xyz"]


@pytest.mark.slow
def test_the_melt_has_stress(tmp_path, monkeypatch):
    pytest.importorskip("tblite")
    monkeypatch.setattr(melt, "STEPS_BEFORE_FIRST_FRAME", 20)
    monkeypatch.setattr(melt, "STEPS_BETWEEN_FRAMES", 5)
    (structure,) = molten_salt(n_frames=1, val_fraction=0.0, test_fraction=0.0, workers=1, root=str(tmp_path)).train
    assert structure.pbc.all()
    assert structure.stress.shape == (3, 3)
    assert np.abs(structure.forces).max() > 0.1


def test_opposite_ions_keep_their_charges_and_attract_each_other_as_these(tmp_path):
    pytest.importorskip("tblite")
    rng = np.random.default_rng(0)
    frames = [pair(rng, "NH4+", "BF4-", 15.0, 0.0) for _ in range(2)]
    energies, inverse = [], []
    for atoms, distance in zip(frames, (10.0, 15.0), strict=True):
        atoms.positions[5:] += [0, 0, distance] - atoms.positions[5:].mean(0) + atoms.positions[:5].mean(0)
        inverse.append(1 / distance)
    settings = CalculatorSettings("tblite.ase.TBLite", {"method": "GFN2-xTB", **TIGHT_BINDING})
    for frame in label_structures(frames, settings, tmp_path / "labels.jsonl", 1).frames:
        assert frame.get_charges()[:5].sum() == pytest.approx(1.0, abs=0.01)
        energies.append(frame.get_potential_energy())
    assert energies[1] - energies[0] == pytest.approx(14.3996 * (inverse[0] - inverse[1]), rel=0.1)
