"""The ASE calculator: the model's numbers, and dynamics that conserve the energy."""

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.md.verlet import VelocityVerlet
from structures import graph_of, random_atoms, saved_model, small_model

from sognet import SOGNetCalculator
from sognet.errors import InputError


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("pbc", [True, False])
def test_results_are_those_of_the_model(pbc):
    model = small_model().eval()
    atoms = random_atoms(pbc=pbc)
    atoms.calc = SOGNetCalculator(model)
    out = model(graph_of(atoms))
    assert atoms.get_potential_energy() == pytest.approx(out["energy"].item(), abs=1e-12)
    np.testing.assert_allclose(atoms.get_forces(), out["forces"].detach().numpy(), atol=1e-12)
    if pbc:
        np.testing.assert_allclose(atoms.get_stress(voigt=False), out["stress"][0].detach().numpy(), atol=1e-12)


def test_unknown_element_is_refused():
    atoms = bulk("Cu")
    atoms.calc = SOGNetCalculator(small_model())
    with pytest.raises(InputError, match="Cu"):
        atoms.get_potential_energy()


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("pbc", [True, False])
def test_committee_gives_the_mean_and_the_deviation_of_its_members(pbc, tmp_path):
    atoms = random_atoms(pbc=pbc)
    members = [small_model(seed=1), small_model(seed=2, cutoff=5.0), saved_model(tmp_path / "a.ckpt", seed=3)]
    alone = []
    for member in members:
        atoms.calc = SOGNetCalculator(member)
        alone.append((atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress() if pbc else None))
    energies, forces, stresses = zip(*alone, strict=True)
    atoms.calc = SOGNetCalculator(members)
    assert atoms.get_potential_energy() == pytest.approx(np.mean(energies), abs=1e-12)
    np.testing.assert_allclose(atoms.get_forces(), np.mean(forces, axis=0), atol=1e-12)
    assert atoms.calc.results["energy_uncertainty"] == pytest.approx(np.std(energies, ddof=1))
    spread = np.sqrt(np.square(forces - np.mean(forces, axis=0)).sum(0) / 2)  # (N, 3)
    np.testing.assert_allclose(atoms.calc.results["forces_uncertainty"], np.sqrt(np.square(spread).mean(1)))
    assert atoms.calc.results["latent"].shape == (12, 6)
    if pbc:
        np.testing.assert_allclose(atoms.get_stress(), np.mean(stresses, axis=0), atol=1e-12)


def test_a_single_model_has_no_deviation():
    atoms = random_atoms()
    atoms.calc = SOGNetCalculator([small_model()])
    atoms.get_potential_energy()
    assert "energy_uncertainty" not in atoms.calc.results
    with pytest.raises(InputError, match="at least two"):
        SOGNetCalculator([])


@pytest.mark.slow
@pytest.mark.usefixtures("double")
def test_dynamics_conserve_the_energy():
    """Halving the time step divides the fluctuation of the energy by four, as of second-order Verlet."""
    fluctuation = []
    for step in (2.0, 1.0):
        atoms = random_atoms()
        atoms.calc = SOGNetCalculator(small_model())
        atoms.set_velocities(0.01 * np.random.default_rng(0).normal(size=(12, 3)))
        dynamics = VelocityVerlet(atoms, step * units.fs)
        energies = []
        dynamics.attach(lambda a=atoms, e=energies: e.append(a.get_total_energy()), interval=1)
        dynamics.run(int(60 / step))
        fluctuation.append(np.std(energies))
    assert fluctuation[0] / fluctuation[1] == pytest.approx(4.0, rel=0.2)
