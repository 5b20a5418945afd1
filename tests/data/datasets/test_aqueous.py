"""Aqueous KF sampled with OpenMM, against torch-pme's Ewald sum and the force field written out."""

import numpy as np
import pytest
import torch
import torchpme
from vesin import NeighborList

from sognet.data import kf_water
from sognet.data.datasets.generators import aqueous
from sognet.data.datasets.generators.aqueous import (
    ANGLE,
    ANGLE_CONSTANT,
    BOND_CONSTANT,
    BOND_LENGTH,
    CHARGES,
    LENNARD_JONES,
    lennard_jones_cutoff,
)
from sognet.data.datasets.generators.ion_box import COULOMB_CONSTANT
from sognet.errors import InputError

pytest.importorskip("openmm")


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(aqueous, "STEPS_BEFORE_FIRST_FRAME", 50)
    monkeypatch.setattr(aqueous, "STEPS_BETWEEN_FRAMES", 20)


def energy(atoms) -> float:
    """Of the force field: Ewald sum without pairs within molecules, Lennard-Jones, bonds, angles; eV."""
    charges = torch.tensor([CHARGES[s] for s in atoms.symbols], dtype=torch.float64)[:, None]
    cutoff = lennard_jones_cutoff(atoms)
    neighbours = NeighborList(cutoff=cutoff, full_list=False)
    i, j, distance = neighbours.compute(atoms.positions, atoms.cell.array, True, "ijd")
    molecule = np.where(atoms.symbols == "O", np.arange(len(atoms)), -1)
    for n in range(1, len(atoms)):
        molecule[n] = molecule[n - 1] if atoms.symbols[n] == "H" else n
    ewald = torchpme.EwaldCalculator(torchpme.CoulombPotential(smearing=cutoff / 6), lr_wavelength=cutoff / 8).double()
    pairs = torch.from_numpy(np.stack([i, j], 1).astype(np.int64))
    tensors = (torch.from_numpy(x) for x in (atoms.cell.array, atoms.positions))
    potential = ewald(charges, *tensors, pairs, torch.from_numpy(distance))
    total = COULOMB_CONSTANT * (charges * potential).sum().item()
    sigma, epsilon = (np.array([LENNARD_JONES[s][k] for s in atoms.symbols]) for k in (0, 1))
    x = np.clip((distance / cutoff - 0.9) / 0.1, 0, 1)
    power = ((sigma[i] + sigma[j]) / 2 / distance) ** 6
    pair = 4 * np.sqrt(epsilon[i] * epsilon[j]) * (power**2 - power) * (1 - x**3 * (10 - 15 * x + 6 * x**2))
    total += pair[molecule[i] != molecule[j]].sum()
    for oxygen in np.flatnonzero(atoms.symbols == "O"):
        arms = atoms.get_distances(oxygen, [oxygen + 1, oxygen + 2], mic=True, vector=True)
        lengths = np.linalg.norm(arms, axis=1)
        angle = np.arccos(arms[0] @ arms[1] / lengths.prod())
        total += BOND_CONSTANT / 2 * np.square(lengths - BOND_LENGTH).sum() + ANGLE_CONSTANT / 2 * (angle - ANGLE) ** 2
        ends = np.linalg.norm(arms[0] - arms[1])
        excluded = CHARGES["O"] * CHARGES["H"] * (1 / lengths).sum() + CHARGES["H"] ** 2 / ends
        total -= COULOMB_CONSTANT * excluded
    return total


@pytest.mark.parametrize("interface", [False, True])
def test_energy_is_that_of_the_force_field(short, interface):
    for atoms in aqueous.sample(20, 1, interface, 2, seed=3):
        assert atoms.info["energy"] == pytest.approx(energy(atoms), abs=1e-3)  # of parts that add up to 300 eV


def test_forces_are_the_derivative_of_the_energy(short):
    (atoms,) = aqueous.sample(20, 1, False, 1, seed=4)
    for atom, axis in ((0, 0), (1, 2), (60, 1), (61, 0)):
        energies = []
        for step in (1e-4, -1e-4):
            moved = atoms.copy()
            moved.positions[atom, axis] += step
            energies.append(energy(moved))
        assert atoms.arrays["forces"][atom, axis] == pytest.approx((energies[1] - energies[0]) / 2e-4, abs=1e-3)


def test_kf_water_is_reproducible_cached_and_of_the_concentrations_asked_for(short, tmp_path):
    settings = {"n_water": 20, "concentrations": [0, 2], "n_frames": 4, "val_fraction": 0.25, "test_fraction": 0.25}
    first, again = (kf_water(root=tmp_path / name, **settings) for name in "ab")
    structures = [s for _, part in first for s in part]
    assert len(first.train) == 2
    assert sorted(len(s) for s in structures) == [60, 60, 62, 62]
    for structure, same in zip(first.train, again.train, strict=True):
        np.testing.assert_array_equal(structure.positions, same.positions)
        assert structure.arrays["reference_charges"].sum() == pytest.approx(0.0)
    (file,) = (tmp_path / "a" / "kf_water").glob("*.xyz")
    written = file.stat().st_mtime_ns
    kf_water(root=tmp_path / "a", **settings)
    assert file.stat().st_mtime_ns == written


def test_numbers_out_of_range_are_refused(tmp_path):
    with pytest.raises(InputError, match="n_water"):
        kf_water(n_water=3, root=tmp_path)
