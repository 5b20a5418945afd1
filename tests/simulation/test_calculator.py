"""The ASE calculator: the model's numbers, and dynamics that conserve the energy."""

import copy
import pickle

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError, all_properties
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.calculators.singlepoint import SinglePointCalculator
from ase.filters import FrechetCellFilter, UnitCellFilter
from ase.md.verlet import VelocityVerlet
from ase.optimize import FIRE
from structures import deep_potential, graph_of, random_atoms, saved_model, small_model

from sognet import SOGNet, SOGNetCalculator, load_model
from sognet.errors import InputError


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("pbc", [True, False])
def test_results_are_those_of_the_model(pbc, device):
    model = small_model().eval()
    atoms = random_atoms(pbc=pbc)
    atoms.calc = SOGNetCalculator(model, device)
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
def test_committee_gives_the_mean_and_the_uncertainty_of_its_members(pbc, tmp_path, device):
    atoms = random_atoms(pbc=pbc)
    members = [small_model(seed=1), small_model(seed=2, cutoff=5.0), saved_model(tmp_path / "a.ckpt", seed=3)]
    alone = []
    for member in members:
        atoms.calc = SOGNetCalculator(member, device)
        alone.append((atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress() if pbc else None))
    energies, forces, stresses = zip(*alone, strict=True)
    atoms.calc = SOGNetCalculator(members, device)
    assert atoms.get_potential_energy() == pytest.approx(np.mean(energies), abs=1e-12)
    np.testing.assert_allclose(atoms.get_forces(), np.mean(forces, axis=0), atol=1e-12)
    assert atoms.calc.other_results["energy_uncertainty"] == pytest.approx(np.std(energies, ddof=1))
    spread = np.sqrt(np.square(forces - np.mean(forces, axis=0)).sum(0) / 2)  # (N, 3)
    np.testing.assert_allclose(atoms.calc.other_results["forces_uncertainty"], np.sqrt(np.square(spread).mean(1)))
    assert atoms.calc.other_results["latent"].shape == (12, 6)
    if pbc:
        np.testing.assert_allclose(atoms.get_stress(), np.mean(stresses, axis=0), atol=1e-12)


def test_a_single_model_has_no_uncertainty():
    atoms = random_atoms()
    atoms.calc = SOGNetCalculator([small_model()])
    atoms.get_potential_energy()
    assert "energy_uncertainty" not in atoms.calc.other_results
    with pytest.raises(InputError, match="at least two"):
        SOGNetCalculator([])


@pytest.mark.parametrize("pbc", [True, False])
def test_results_are_those_that_ase_knows(pbc, device):
    atoms = random_atoms(pbc=pbc)
    atoms.calc = SOGNetCalculator(small_model(n_latent=1), device)
    energies = atoms.get_potential_energies()
    assert energies.sum() == pytest.approx(atoms.get_potential_energy(), rel=1e-5)
    assert set(atoms.calc.results) <= set(all_properties)
    again = SinglePointCalculator(atoms, **atoms.calc.results)
    assert again.get_property("energies", atoms) is not None
    assert atoms.get_properties(["energy", "forces"])["energy"] == atoms.get_potential_energy()
    assert atoms.calc.export_properties()["forces"].shape == (12, 3)
    np.testing.assert_allclose(atoms.get_charges(), atoms.calc.other_results["latent"][:, 0])
    if pbc:
        with pytest.raises(PropertyNotImplementedError):
            atoms.get_dipole_moment()
    else:
        np.testing.assert_allclose(atoms.get_dipole_moment(), atoms.get_charges() @ atoms.positions)
    assert "energy_long_range" in atoms.calc.other_results


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("settings", [{}, {"charges": {"Na": 1.0, "Cl": -1.0}, "n_latent": 1}])
@pytest.mark.parametrize("pbc", [True, False])
def test_atomic_energies_add_up_and_belong_to_their_atoms(pbc, settings, device):
    """Two structures far apart: the energies of the atoms of each are those that it has alone."""
    model = small_model(reference_energies={"Na": -10.0, "Cl": -20.0}, **settings)
    calculator = SOGNetCalculator(model, device)
    atoms = random_atoms(8, pbc=pbc)
    energies = calculator.get_property("energies", atoms)
    assert energies.sum() == pytest.approx(calculator.get_property("energy", atoms), abs=1e-10)
    is_sodium = atoms.numbers == 11
    assert energies[is_sodium].mean() > -15 > energies[~is_sodium].mean()
    twice = calculator.get_property("energies", atoms.repeat((2, 1, 1))) if pbc else np.tile(energies, 2)
    np.testing.assert_allclose(twice, np.tile(energies, 2), atol=1e-6)


def test_total_charge_is_part_of_the_state():
    atoms = random_atoms(pbc=False)
    atoms.calc = SOGNetCalculator(small_model(total_charge=True, charge_key="q_total"))
    atoms.info["q_total"] = 0
    neutral = atoms.get_potential_energy()
    atoms.info["q_total"] = 2
    charged = atoms.get_potential_energy()
    assert abs(charged - neutral) > 1e-3
    assert charged == SOGNetCalculator(small_model(total_charge=True), charge_key="q_total").get_potential_energy(atoms)
    atoms.info["q_total"] = 0
    assert atoms.get_potential_energy() == pytest.approx(neutral)
    del atoms.info["q_total"]
    atoms.rattle(0.01)
    with pytest.warns(UserWarning, match="q_total"):
        atoms.get_potential_energy()


def test_neutral_latents_add_up_to_the_total_charge_of_the_structure():
    """Also where the charge is no feature of the model: they do in training."""
    atoms = random_atoms(pbc=False)
    atoms.calc = SOGNetCalculator(small_model(n_latent=1, neutral=True), dtype="float64")
    for charge in (0, 2, -1):
        atoms.info["charge"] = charge
        assert atoms.get_charges().sum() == pytest.approx(charge, abs=1e-8)
    del atoms.info["charge"]
    assert atoms.get_charges().sum() == pytest.approx(0, abs=1e-8)


def test_fields_act_on_charges_by_setting_and_by_structure():
    atoms = random_atoms(pbc=False)
    model = small_model(n_latent=1, neutral=True)
    atoms.calc = SOGNetCalculator(model, dtype="float64")
    free, dipole = atoms.get_potential_energy(), atoms.get_dipole_moment()
    charges = atoms.calc.get_property("born_effective_charges", atoms)
    forces = atoms.get_forces()
    atoms.info["field"] = [0.0, 0.1, 0.2]
    assert atoms.get_potential_energy() == pytest.approx(free - dipole @ atoms.info["field"], abs=1e-9)
    change = np.einsum("a,nab->nb", atoms.info["field"], charges)
    np.testing.assert_allclose(atoms.get_forces() - forces, change, atol=1e-9)
    of_setting = SOGNetCalculator(model, dtype="float64", field=[0.0, 0.1, 0.2])
    found = of_setting.get_potential_energy(random_atoms(pbc=False))
    assert found == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
    assert of_setting.other_results["energy_field"] == pytest.approx(-dipole @ atoms.info["field"], abs=1e-9)
    del atoms.info["field"]
    assert atoms.get_potential_energy() == pytest.approx(free, abs=1e-9)
    for wrong in ([1.0, 2.0], "along z", [np.nan, 0, 0]):
        with pytest.raises(InputError, match="field must be three numbers in V/Å"):
            SOGNetCalculator(model, field=wrong)
    with pytest.raises(InputError, match="no charges on which a field could act"):
        SOGNetCalculator(SOGNet(deep_potential(), None), field=[0, 0, 0.1])


def test_a_field_across_a_slab_conserves_the_energy():
    atoms = random_atoms()
    atoms.pbc = True, True, False
    atoms.calc = SOGNetCalculator(small_model(n_latent=1, neutral=True), dtype="float64", field=[0.0, 0.0, 0.3])
    dynamics = VelocityVerlet(atoms, 0.5 * units.fs)
    before = atoms.get_total_energy()
    dynamics.run(20)
    assert atoms.get_kinetic_energy() > 1e-3
    assert atoms.get_total_energy() == pytest.approx(before, abs=2e-3 * atoms.get_kinetic_energy())


def test_one_calculator_for_many_structures_and_changes_of_any_kind():
    """Also where `calculate` is called directly (QUIP#243, AIMNet2#30)."""
    calculator, fresh = SOGNetCalculator(small_model()), SOGNetCalculator(small_model())
    frames = [random_atoms(seed=seed) for seed in range(3)]
    swapped, stretched, moved = (frames[0].copy() for _ in range(3))
    swapped.numbers = frames[0].numbers[::-1]
    stretched.set_cell(stretched.cell * 1.1)
    moved.positions[0] += 0.1
    for atoms in (*frames, swapped, stretched, moved):
        fresh.reset()
        expected = fresh.get_potential_energy(atoms)
        atoms.calc = calculator
        calculator.calculate(atoms, ["energy"])
        assert calculator.results["energy"] == expected
        assert atoms.get_potential_energy() == expected


def test_cells_relax():
    """By ASE's filters, which ask for the stress (deepmd-kit#4901)."""
    atoms = random_atoms()
    atoms.calc = SOGNetCalculator(small_model(), dtype=torch.float64)
    before, pressure = atoms.get_potential_energy(), np.abs(atoms.get_stress()).max()
    volume = atoms.get_volume()
    FIRE(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-9, steps=20)
    assert atoms.get_potential_energy() < before
    assert atoms.get_volume() != pytest.approx(volume, rel=1e-6)
    assert np.abs(atoms.get_stress()).max() < pressure


def test_slabs_relax_in_their_plane():
    atoms = random_atoms()
    atoms.pbc = True, True, False
    atoms.calc = SOGNetCalculator(small_model(), dtype=torch.float64)
    before, cell, stress = atoms.get_potential_energy(), atoms.cell.copy(), atoms.get_stress()
    FIRE(UnitCellFilter(atoms), logfile=None).run(fmax=1e-9, steps=20)
    assert atoms.get_potential_energy() < before
    assert np.abs(atoms.get_stress()).max() < np.abs(stress).max()
    assert not np.allclose(atoms.cell[:2, :2], cell[:2, :2], atol=1e-4)
    atoms.cell[2] = 0
    with pytest.raises(PropertyNotImplementedError, match="stress"):
        atoms.get_stress()
    assert "stress" not in atoms.calc.results
    assert atoms.get_forces().any()


def test_the_model_of_the_caller_stays_as_it_is():
    model = small_model().train()
    atoms = random_atoms()
    SOGNetCalculator(model, dtype="float64").get_potential_energy(atoms)
    assert model.training
    assert all(p.dtype == torch.float32 and p.requires_grad for p in model.parameters())


def test_precision_by_name_and_folders_of_runs(tmp_path):
    saved_model(tmp_path / "run" / "checkpoints" / "best.ckpt")
    atoms = random_atoms()
    single = SOGNetCalculator(tmp_path / "run").get_potential_energy(atoms)
    assert SOGNetCalculator(tmp_path / "run", dtype="float64").get_potential_energy(atoms) == pytest.approx(single)
    with pytest.raises(InputError, match=r"float32 or float64, got 'double'"):
        SOGNetCalculator(tmp_path / "run", dtype="double")
    with pytest.raises(InputError, match="name a checkpoint"):
        SOGNetCalculator(tmp_path)


@pytest.mark.parametrize("pbc", [True, False])
@pytest.mark.parametrize("method", ["direct", "separable", "mesh", "nufft"])
def test_single_precision_where_the_default_is_double(pbc, method, device):
    """Other packages set the default for the whole process."""
    atoms = random_atoms(pbc=pbc)
    model = small_model(method=method)
    wanted = SOGNetCalculator(model, device)
    wanted.calculate(atoms)
    torch.set_default_dtype(torch.float64)
    try:
        found = SOGNetCalculator(model, device)
        found.calculate(atoms)
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_allclose(found.results["forces"], wanted.results["forces"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["direct", "separable", "mesh", "nufft"])
def test_inference_mode(method, tmp_path, device):
    atoms = random_atoms()
    path = saved_model(tmp_path / "a.ckpt", method=method)
    wanted = SOGNetCalculator(path, device)
    wanted.calculate(atoms)
    with torch.inference_mode():
        found = SOGNetCalculator(path, device)
        found.calculate(atoms)
        given = load_model(path, device)(graph_of(atoms).to(device), stress=False)
    atol = 0 if device == "cpu" else 1e-6  # sums on a GPU have no fixed order
    np.testing.assert_allclose(found.results["forces"], wanted.results["forces"], atol=atol)
    np.testing.assert_allclose(given["forces"].cpu().numpy(), wanted.results["forces"], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("pbc", [True, False])
def test_atoms_in_one_place_are_named(pbc):
    atoms = random_atoms(pbc=pbc)
    atoms.positions[7] = atoms.positions[2]
    with pytest.raises(InputError, match=r"atoms 2 and 7 are 0\.000 Å apart"):
        SOGNetCalculator(small_model()).get_potential_energy(atoms)
    atoms.positions[7, 0] = np.nan
    with pytest.raises(InputError, match="not finite"):
        SOGNetCalculator(small_model()).get_potential_energy(atoms)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("cell", [None, [20.0, 20.0, 20.0]])
def test_atoms_without_neighbours(cell, device):
    """One atom, and two beyond each other's reach, alone or among their images."""
    calculator = SOGNetCalculator(small_model(reference_energies={"Na": -10.0, "Cl": -20.0}), device)
    one = Atoms("Na", cell=cell, pbc=cell is not None)
    energy = calculator.get_potential_energy(one)
    np.testing.assert_allclose(calculator.get_forces(one), 0.0)
    two = Atoms("NaNa", positions=[[0, 0, 0], [10.0, 0, 0]], cell=cell, pbc=cell is not None)
    np.testing.assert_allclose(calculator.get_property("energies", two), energy, atol=0.5)  # far, but long-ranged
    assert calculator.get_property("energies", two).sum() == pytest.approx(calculator.get_potential_energy(two))


@pytest.mark.usefixtures("double")
def test_stress_is_that_of_finite_strains(device):
    atoms = random_atoms()
    atoms.calc = SOGNetCalculator(small_model(), device)
    np.testing.assert_allclose(atoms.get_stress(), calculate_numerical_stress(atoms, eps=1e-5), atol=1e-8)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("pbc", [(True, True, False), (False, True, False)])
def test_slabs_and_wires(pbc, device):
    """Vacuum changes nothing, twice the cell has twice the energy, forces are those of finite differences."""
    atoms = random_atoms()
    atoms.pbc = pbc
    calculator = SOGNetCalculator(small_model(), device)
    energy, forces = calculator.get_potential_energy(atoms), calculator.get_forces(atoms)
    np.testing.assert_allclose(forces.sum(0), 0, atol=1e-7)
    bare = atoms.copy()
    atoms.calc = calculator
    np.testing.assert_allclose(forces[:2], calculate_numerical_forces(atoms, eps=1e-4, iatoms=[0, 1]), atol=1e-6)
    bare.cell[~np.array(pbc)] = 0
    assert calculator.get_potential_energy(bare) == pytest.approx(energy, abs=1e-8)
    twice = atoms.repeat((1, 2, 1))
    assert calculator.get_potential_energy(twice) == pytest.approx(2 * energy, abs=1e-6)


def test_a_device_that_is_not_here_is_refused():
    with pytest.raises(InputError, match="device=gpu: not available here"):
        SOGNetCalculator(small_model(), device="gpu")


@pytest.mark.parametrize("pbc", [True, [True, True, False]])
def test_single_precision_far_from_the_origin(pbc, device):
    """Atoms of a long run without wrapping."""
    atoms = random_atoms(pbc=pbc)
    moved = atoms.copy()
    moved.positions += (np.random.default_rng(0).integers(-500, 500, size=(12, 3)) * atoms.pbc) @ atoms.cell.array
    atoms.calc = moved.calc = SOGNetCalculator(small_model(), device, dtype="float32")
    forces = atoms.get_forces()
    np.testing.assert_allclose(moved.get_forces(), forces, atol=1e-5 * np.abs(forces).max())


@pytest.mark.parametrize("pbc", [False, [True, True, False]])
def test_single_precision_of_a_structure_far_away_in_open_directions(pbc, device):
    """Ions that drift through vacuum have no images near the origin."""
    atoms = random_atoms(pbc=pbc)
    moved = atoms.copy()
    moved.positions += np.array([700.0, -900.0, 800.0]) * ~atoms.pbc
    atoms.calc = moved.calc = SOGNetCalculator(small_model(), device, dtype="float32")
    forces = atoms.get_forces()
    stress = atoms.get_stress() if atoms.pbc.any() else 0.0
    energy = atoms.calc.other_results["energy_long_range"]
    np.testing.assert_allclose(moved.get_forces(), forces, atol=1e-5 * np.abs(forces).max())
    assert moved.calc.other_results["energy_long_range"] == pytest.approx(energy, rel=1e-5)
    if atoms.pbc.any():
        np.testing.assert_allclose(moved.get_stress(), stress, atol=1e-5 * np.abs(stress).max())


def test_copies_and_pickles():
    atoms = random_atoms()
    calculator = SOGNetCalculator(small_model())
    energy = calculator.get_potential_energy(atoms)
    for other in (copy.deepcopy(calculator), pickle.loads(pickle.dumps(calculator))):
        other.reset()
        assert other.get_potential_energy(atoms) == energy


@pytest.mark.slow
@pytest.mark.usefixtures("double")
def test_dynamics_conserve_the_energy(device):
    """Halving the time step divides the fluctuation of the energy by four, as of second-order Verlet."""
    fluctuation = []
    for step in (2.0, 1.0):
        atoms = random_atoms()
        atoms.calc = SOGNetCalculator(small_model(), device)
        atoms.set_velocities(0.01 * np.random.default_rng(0).normal(size=(12, 3)))
        dynamics = VelocityVerlet(atoms, step * units.fs)
        energies = []
        dynamics.attach(lambda a=atoms, e=energies: e.append(a.get_total_energy()), interval=1)
        dynamics.run(int(60 / step))
        fluctuation.append(np.std(energies))
    assert fluctuation[0] / fluctuation[1] == pytest.approx(4.0, rel=0.2)


def test_freed_memory_is_kept_from_step_to_step(monkeypatch):
    """Taken from the system anew, page by page, it costs a third of a step of 192 atoms."""
    kept = []
    monkeypatch.setattr("sognet.simulation.evaluator.keep_freed_memory", lambda: kept.append(1))
    SOGNetCalculator(small_model())
    assert kept
