"""Ions whose charges interact by other powers of the distance."""

import itertools

import numpy as np
import pytest
from ase import Atoms

from sognet.data import electrolyte
from sognet.data.datasets.generators.ion_box import COULOMB_CONSTANT
from sognet.data.datasets.generators.ions import PERMITTIVITY, WIDER_DIAMETER, IonCalculator
from sognet.errors import InputError

LENGTH = 24.0


def ions() -> tuple[Atoms, np.ndarray]:
    """Eight ions beyond the reach of one another's repulsion."""
    rng = np.random.default_rng(0)
    sites = np.array(list(itertools.product((0.0, 12.0), repeat=3))) + rng.uniform(-2.5, 2.5, (8, 3))
    charges = np.array([1.0, -1.0, -1.0, 1.0, 1.0, -1.0, 1.0, -1.0])
    return Atoms("NaClClNaNaClNaCl", sites, cell=[LENGTH] * 3, pbc=True), charges


def summed_over_images(exponent: int, images: int) -> tuple[float, np.ndarray]:
    """Energy (eV) and forces (eV/Å) of q_i q_j σ^(p−1)/r^p, image by image."""
    atoms, charges = ions()
    products = COULOMB_CONSTANT / PERMITTIVITY * WIDER_DIAMETER ** (exponent - 1) * np.outer(charges, charges)
    energy, forces = 0.0, np.zeros((8, 3))
    for shift in itertools.product(range(-images, images + 1), repeat=3):
        vectors = atoms.positions[:, None] - atoms.positions[None] - LENGTH * np.array(shift)
        distances = np.linalg.norm(vectors, axis=-1)
        distances[distances < 1e-9] = np.inf
        energy += 0.5 * float((products * distances**-exponent).sum())
        forces += ((exponent * products * distances ** -(exponent + 2.0))[..., None] * vectors).sum(1)
    return energy, forces


@pytest.mark.parametrize(("exponent", "images", "tolerance"), [(3, 12, 2e-3), (6, 4, 2e-4)])
def test_other_powers_of_the_distance_are_summed_over_all_images(exponent, images, tolerance):
    atoms, charges = ions()
    atoms.calc = IonCalculator(charges, LENGTH, exponent=exponent)
    energy, forces = summed_over_images(exponent, images)
    assert atoms.get_potential_energy() == pytest.approx(energy, rel=tolerance)
    np.testing.assert_allclose(atoms.get_forces(), forces, atol=tolerance * np.abs(forces).max())


def test_each_exponent_has_a_sample_of_its_own(tmp_path):
    settings = {"n_ions": 8, "n_frames": 4, "val_fraction": 0.25, "test_fraction": 0.25, "root": tmp_path}
    coulomb, steeper = electrolyte(**settings), electrolyte(exponent=3, **settings)
    assert steeper.name == "electrolyte-coulomb-3"
    assert not np.allclose(coulomb.train[0].forces, steeper.train[0].forces)
    assert len(list((tmp_path / "electrolyte").glob("*.xyz"))) == 2
    with pytest.raises(InputError, match=r"dataset\.exponent must be one of 1, 2, 3, 4, 5, 6"):
        electrolyte(exponent=7, root=tmp_path)
    with pytest.raises(InputError, match=r"dataset\.exponent"):
        electrolyte("short_range", exponent=3, root=tmp_path)
