"""A frozen baseline and what is trained on top are one model."""

import copy
from functools import cache

import numpy as np
import pytest
import torch
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from other_packages import needs
from own_models import Radial, Repulsive
from structures import NO_TARGETS, random_atoms, saved_model, small_model

from sognet import SOGNet, SOGNetCalculator, load_model
from sognet.analysis.decay_forces import force_columns
from sognet.data import Splits, Structure
from sognet.data.baseline_labels import BaselineKeys
from sognet.data.graph import build_batch
from sognet.model.baseline import bring_baseline
from sognet.model.baseline_evaluation import evaluate_baseline
from sognet.model.description import check_rebuilds
from sognet.short_range import CACE
from sognet.simulation import Evaluator

PARTS = ("energy", "forces", "stress", "energies")


def repulsive(cutoff=3.0):
    return Repulsive(["Na", "Cl", "K"], cutoff, strength=20.0, offset=-3.0)


def charged():
    """A SOGNet with long range and reference energies of its own."""
    return small_model(cutoff=5.0, n_latent=1, seed=7, reference_energies={"Na": -100.0, "Cl": -200.0})


@cache
def seven_net():
    from sognet.short_range.sevennet import trained

    return trained("7net-0")


@pytest.fixture(params=["repulsive", "charged", "sevennet"])
def baseline(request):
    if request.param == "sevennet":
        return copy.deepcopy(seven_net()) if needs("sevennet") else None
    return repulsive() if request.param == "repulsive" else charged()


def structures():
    """Of different sizes, periodic, not periodic, a slab, of one atom."""
    atoms = [random_atoms(6), random_atoms(9, pbc=False, seed=1), random_atoms(7, pbc=[True, True, False], seed=2)]
    return [Structure.from_atoms(a, NO_TARGETS, "made") for a in (*atoms, atoms[0][:1])]


@pytest.fixture
def batch():
    return build_batch(structures(), 4.0)


def test_the_sum_is_that_of_its_parts(baseline, batch, double, device):
    model, batch = small_model(baseline=baseline).to(device).eval(), batch.to(device)
    out, trained = model(batch, energies=True), small_model().to(device).eval()(batch, energies=True)
    of_baseline = model.baseline(build_batch(structures(), model.baseline.cutoff).to(device), energies=True)
    for name in PARTS:
        torch.testing.assert_close(out[name], trained[name] + of_baseline[name], atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(out["energy_baseline"], of_baseline["energy"])
    torch.testing.assert_close(out["energies"].sum(), out["energy"].sum())


@pytest.mark.parametrize("baseline", [repulsive, charged])
def test_forces_and_stress_are_the_derivatives_of_the_sum(baseline, double):
    for atoms in (random_atoms(5), random_atoms(4, pbc=False)):
        atoms.calc = SOGNetCalculator(small_model(baseline=baseline()))
        np.testing.assert_allclose(atoms.get_forces(), calculate_numerical_forces(atoms, 1e-4), atol=2e-5)
        if atoms.pbc.all():
            np.testing.assert_allclose(atoms.get_stress(), calculate_numerical_stress(atoms, 1e-4), atol=2e-6)


def test_what_graphs_bring_is_that_of_a_fresh_evaluation_and_spares_it(baseline, tmp_path, monkeypatch, device):
    model, made = small_model(baseline=baseline).to(device).eval(), structures()
    fresh = model(build_batch(made, 4.0).to(device))
    evaluate_baseline(model.baseline, Splits("made", made), tmp_path)
    monkeypatch.setattr(model.baseline, "forward", None)
    brought = model(build_batch(made, 4.0).to(device))
    for name in ("energy", "forces", "stress", "energy_short_range"):
        torch.testing.assert_close(brought[name], fresh[name], atol=2e-4, rtol=1e-5)  # in single and double precision


def test_what_another_baseline_gives_is_not_taken(batch):
    model, other = small_model(baseline=repulsive()).eval(), small_model(baseline=repulsive(3.5)).eval()
    expected = model(batch)["forces"]
    bring_baseline(other.baseline, batch, 4.0)
    assert BaselineKeys.of(other.baseline.identity).forces in batch
    torch.testing.assert_close(model(batch)["forces"], expected)
    assert not torch.allclose(other(batch)["forces"], expected)


def test_structures_that_bring_it_and_others_make_a_batch(tmp_path):
    model, made = small_model(baseline=repulsive()).eval(), structures()
    expected = model(build_batch(made, 4.0))["forces"]
    evaluate_baseline(model.baseline, Splits("made", made[:2]), tmp_path)
    torch.testing.assert_close(model(build_batch(made, 4.0))["forces"], expected)


@pytest.mark.parametrize("brought", [True, False])
def test_training_reaches_all_but_the_baseline(batch, brought):
    model = small_model(baseline=charged()).train()
    if brought:
        bring_baseline(model.baseline, batch, 4.0)
    out = model(batch)
    (out["energy"].square().sum() + out["forces"].square().sum() + out["stress"].square().sum()).backward()
    assert not any(module.training for module in model.baseline.modules())
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == (not name.startswith("baseline.")), name


def test_checkpoints_hold_it(tmp_path, batch):
    path = saved_model(tmp_path / "best.ckpt", baseline=charged())
    model = small_model(baseline=charged()).eval()
    loaded = load_model(path)
    torch.testing.assert_close(loaded(batch), model(batch))
    assert loaded.baseline.identity == model.baseline.identity == load_model(path, dtype="float64").baseline.identity
    check_rebuilds(model)
    atoms = random_atoms(6)
    atoms.calc = SOGNetCalculator(path)
    assert atoms.get_potential_energy() == pytest.approx(model(batch)["energy"][0].item(), rel=1e-6)
    assert atoms.calc.other_results["energy_baseline"] == pytest.approx(-900, abs=100)


def test_its_identity_is_that_of_settings_and_weights():
    model = charged()
    identities = {model.identity, charged().double().identity, copy.deepcopy(model).identity}
    assert len(identities) == 1
    other = charged()
    other.load_state_dict({name: value * (1 + 1e-6) for name, value in model.state_dict().items()})
    assert {other.identity, SOGNet(repulsive()).identity, SOGNet(repulsive(3.5)).identity}.isdisjoint(identities)
    other.load_state_dict(model.state_dict())
    assert other.identity in identities


def test_a_committee_evaluates_what_its_members_share_once(monkeypatch):
    members = [small_model(baseline=charged(), seed=seed).eval() for seed in (1, 2, 3)]
    evaluator, structure, calls = Evaluator(members), structures()[0], []
    expected = np.mean([Evaluator(m).step(structure)["forces"] for m in members], axis=0)
    for member in evaluator.members:
        own = member.baseline.forward
        monkeypatch.setattr(member.baseline, "forward", lambda *a, own=own, **k: calls.append(1) or own(*a, **k))
    np.testing.assert_allclose(evaluator.step(structure)["forces"], expected, atol=1e-5)
    np.testing.assert_allclose(evaluator([structure])[0]["forces"], expected, atol=1e-5)
    assert len(calls) == 2


def test_the_kernel_is_looked_for_in_what_it_leaves(double):
    model = small_model(baseline=repulsive()).eval()
    plain, structure = small_model().eval(), structures()[0]
    structure.forces = model(build_batch([structure], 4.0))["forces"].numpy()
    (first, *_), widths = force_columns(model, structure, np.array([4.0])), np.array([4.0])
    structure.forces = plain(build_batch([structure], 4.0))["forces"].numpy()
    np.testing.assert_allclose(first.wanted, force_columns(plain, structure, widths)[0].wanted, atol=1e-9)


def test_what_cannot_be_one_is_refused():
    with pytest.raises(ValueError, match="the baseline CACE gives no energies of its own"):
        small_model(baseline=CACE(["Na", "Cl"], 4.0))
    with pytest.raises(ValueError, match="the baseline does not know Na; it knows Cl"):
        small_model(baseline=Repulsive(["Cl"], 3.0))
    with pytest.raises(ValueError, match="Radial gives no energies"):
        small_model(baseline=Radial(["Na", "Cl"], 3.0))
