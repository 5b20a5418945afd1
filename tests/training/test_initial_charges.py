"""Initial charges are those that made the forces, and none where no charges did."""

import re

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from structures import deep_potential

from sognet import SOGNet
from sognet.data import Keys, Structure
from sognet.long_range import FourierConvolution, SumOfGaussians, power_law_convolution
from sognet.model.reference_energies import ReferenceEnergies
from sognet.simulation import predict
from sognet.training import initial_charges
from sognet.training.initial_charges import charges_from_forces
from sognet.training.initial_values import initialize

COULOMB = 14.3996454784255  # eV Å


def model_of(species, device="cpu", n_latent=1, **others) -> SOGNet:
    torch.manual_seed(0)
    kernel = SumOfGaussians.power_law(1.0, 4.0, n_gaussians=12)
    layer = FourierConvolution(kernel, remove_self_interaction=True)
    settings = {"latent_bias": False, "latent_scale": 0.03, "neutral": True, "standardize": True}
    return SOGNet(deep_potential(4.0, species), layer, n_latent=n_latent, **settings, **others).to(device)


def clusters(charges: dict[str, float], n: int = 30) -> list[Structure]:
    """Structures with Coulomb's forces and a short repulsion, of elements with these charges."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(n):
        places = np.stack(np.meshgrid(*[np.arange(2)] * 3), -1).reshape(-1, 3) * 3.2
        positions = places + rng.uniform(-0.4, 0.4, (8, 3))
        symbols = rng.choice(list(charges), 8)
        q = np.array([charges[s] for s in symbols])
        vectors = positions[:, None] - positions
        r = np.linalg.norm(vectors, axis=2) + np.diag(np.full(8, 1e6))
        slopes = (COULOMB * np.outer(q, q) / r + 800 * np.exp(-r / 0.32) * r / 0.32) / r**2
        atoms = Atoms(symbols, positions)
        atoms.arrays["forces"] = (slopes[..., None] * vectors).sum(1)
        atoms.info |= {"energy": 0.0, "charge": q.sum()}
        made.append(Structure.from_atoms(atoms, Keys(), f"cluster {number}"))
    return made


def test_charges_of_ions_are_found(device):
    fit = charges_from_forces(model_of(["Cl", "Mg", "Na"], device), clusters({"Mg": 2.0, "Na": 1.0, "Cl": -1.0}))
    assert fit.explained > 0.99
    np.testing.assert_allclose(fit.charges[:, 0], [-1.0, 2.0, 1.0], atol=0.05)


def test_elements_that_are_not_there_cost_nothing_and_have_no_charge(monkeypatch):
    """Trained models of other packages know some ninety elements, 4 000 pairs."""
    widths, least_squares = [], initial_charges._least_squares
    monkeypatch.setattr(
        initial_charges, "_least_squares", lambda a, y: widths.append(a.shape[1]) or least_squares(a, y)
    )
    made = clusters({"Na": 1.0, "Cl": -1.0})
    two, five = (charges_from_forces(model_of(s), made) for s in (["Cl", "Na"], ["H", "Cl", "O", "Na", "Cs"]))
    assert len(set(widths)) == 2
    assert widths[: len(widths) // 2] == widths[len(widths) // 2 :]
    torch.testing.assert_close(five.charges[[1, 3]], two.charges, rtol=1e-4, atol=1e-4)
    assert not five.charges[[0, 2, 4]].any()


def test_kernels_of_pairs_of_elements_start_with_the_same_charges():
    """They are all alike at the start."""
    made, species = clusters({"Na": 1.0, "Cl": -1.0}), ["Cl", "Na"]
    layer = power_law_convolution(cutoff=4.0, n_gaussians=12, remove_self_interaction=True, n_species=2)
    fit = charges_from_forces(SOGNet(deep_potential(4.0, species), layer), made)
    torch.testing.assert_close(fit.charges, charges_from_forces(model_of(species), made).charges, rtol=1e-4, atol=1e-4)


def test_an_outlier_hides_no_charges():
    made = clusters({"Na": 1.0, "Cl": -1.0})
    made[4].forces = 100 * made[4].forces
    fit = charges_from_forces(model_of(["Cl", "Na"]), made)
    np.testing.assert_allclose(fit.charges[:, 0], [-1.0, 1.0], atol=0.05)


def test_latents_start_at_the_charges_of_ions(device):
    model, structures = model_of(["Cl", "Na"], device), clusters({"Na": 1.0, "Cl": -1.0})
    initialize(model, structures, "auto")
    found = predict([s.to_atoms() for s in structures[:4]], model)
    latent = np.concatenate([other["latent"][:, 0] for other in found.other_results])
    numbers = np.concatenate([s.numbers for s in structures[:4]])
    assert latent[numbers == 11].mean() - latent[numbers == 17].mean() == pytest.approx(2.0, abs=0.2)


def test_reference_energies_leave_out_what_the_initial_charges_explain():
    """Rock salt with Madelung's energy: a model that starts with its charges starts with its energy."""
    madelung, frames, rng = -1.747565 * COULOMB / 2.82, [], np.random.default_rng(0)
    for number in range(6):
        atoms = bulk("NaCl", "rocksalt", 5.64, cubic=True)
        atoms.rattle(0.02, rng=rng)
        atoms.info["energy"] = 4 * madelung
        frames.append(Structure.from_atoms(atoms, Keys(forces=None), f"frame {number}"))
    salt = {"Na": 1.0, "Cl": -1.0}
    for model, initial in ((model_of(["Cl", "Na"]), salt), (model_of(["Cl", "Na"], charges=salt), None)):
        model.composition = ReferenceEnergies(dict.fromkeys(salt, madelung / 2))
        initialize(model, frames, initial, fitted_energies=True)
        found = predict([s.to_atoms() for s in frames], model)
        assert all(other["energy_long_range"] < 0.25 * 4 * madelung for other in found.other_results)
        np.testing.assert_allclose(found.energy, 4 * madelung, atol=0.05)


@pytest.mark.parametrize("n_latent", [1, 2])
def test_a_metal_has_no_charges(n_latent, device, caplog):
    rng = np.random.default_rng(0)
    frames = []
    for number in range(12):
        atoms = bulk("Cu", cubic=True).repeat((2, 1, 1))
        atoms.symbols[rng.choice(8, 2, replace=False)] = "Au"
        atoms.rattle(0.1, rng=rng)
        atoms.calc = EMT()
        labelled = atoms.copy()
        labelled.info["energy"], labelled.arrays["forces"] = atoms.get_potential_energy(), atoms.get_forces()
        frames.append(Structure.from_atoms(labelled, Keys(), f"frame {number}"))
    model = model_of(["Au", "Cu"], device, n_latent)
    assert not charges_from_forces(model, frames).charges.any()
    before = {k: v.clone() for k, v in model.latent_head.state_dict().items()}
    with caplog.at_level("INFO"):
        initialize(model, frames, "auto")
    assert "latent charges start near zero: forces beyond those of pairs of neighbours ask for none" in caplog.text
    for name, value in model.latent_head.state_dict().items():
        torch.testing.assert_close(value, before[name])


def test_the_total_charges_that_latents_add_up_to_are_said(caplog):
    frames = clusters({"Na": 1.0, "Cl": -1.0}, n=4)
    for frame, charge in zip(frames, (-1.0, 0.0, 0.0, 2.0), strict=True):
        frame.charge = charge
    with caplog.at_level("INFO"):
        initialize(model_of(["Cl", "Na"]), frames, None)
    assert "add up to its total charge, -1, 0, 2 e (dataset.charge_key)" in caplog.text


def test_a_sample_without_forces_is_not_said_to_ask_for_no_charges(caplog):
    frames = clusters({"Na": 1.0, "Cl": -1.0}, n=4)
    for frame in frames:
        frame.forces = None
    with caplog.at_level("INFO"):
        initialize(model_of(["Cl", "Na"]), frames, "auto")
    assert "two structures with forces or more" in caplog.text
    assert "ask for none" not in caplog.text


def test_charges_that_explain_too_little_to_start_from_are_said(caplog, monkeypatch):
    """With the setting that starts from them."""
    monkeypatch.setattr("sognet.training.initial_charges.WORTH", 2.0)
    model = model_of(["Cl", "Na"])
    with caplog.at_level("INFO"):
        initialize(model, clusters({"Na": 1.0, "Cl": -1.0}, n=4), "auto")
    said = re.search(r"model.initial_charges={Cl: (\S+), Na: (\S+)}", caplog.text)
    assert [float(charge) for charge in said.groups()] == pytest.approx([-1, 1], abs=0.05)
    assert "latent charges start near zero" in caplog.text
