"""Lists of structures in one call."""

import copy

import numpy as np
import pytest
from ase.build import bulk
from structures import graph_of, random_atoms, small_model

import sognet
from sognet import SOGNetCalculator
from sognet.errors import InputError


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("n_models", [1, 2])
def test_predictions_are_those_of_the_calculator(n_models, device):
    frames = [random_atoms(n, seed=n, pbc=n % 2 == 0) for n in (9, 4, 12, 6, 5)]
    models = [small_model(seed=s, n_latent=1) for s in range(n_models)]
    found = sognet.predict(frames, models, batch_size=2, device=device, energies=True)
    assert len(found) == len(frames)
    calculator = SOGNetCalculator(models)
    for i, (atoms, given) in enumerate(zip(found.to_atoms(), frames, strict=True)):
        calculator.calculate(given, ["energy", "energies", *(["stress"] if given.pbc.all() else [])])
        wanted = calculator.results
        assert atoms.get_potential_energy() == pytest.approx(wanted["energy"], abs=1e-10) == found.energy[i]
        np.testing.assert_allclose(found.forces[i], wanted["forces"], atol=1e-10)
        np.testing.assert_allclose(atoms.get_potential_energies(), wanted["energies"], atol=1e-10)
        assert np.isfinite(found.stress[i]).all() == given.pbc.all()
        if given.pbc.all():
            np.testing.assert_allclose(atoms.get_stress(), wanted["stress"], atol=1e-10)
        assert set(found.other_results[i]) == set(calculator.other_results)
        assert ("charges" in found.results[i]) == (n_models == 1)
    assert frames[0].calc is None


@pytest.mark.usefixtures("double")
def test_descriptors_are_those_of_each_structure(device):
    frames = [random_atoms(n, seed=n) for n in (9, 4, 5)]
    model = small_model()
    for atoms, features in zip(frames, sognet.descriptors(frames, model, 2, device), strict=True):
        np.testing.assert_allclose(features, model.short_range(graph_of(atoms)).detach().numpy(), atol=1e-12)
    (one,) = sognet.descriptors(frames[0], model)
    assert one.shape == (9, model.short_range.n_features)


def test_errors_name_the_structure():
    with pytest.raises(InputError, match="structure 1: the structure has Cu"):
        sognet.predict([random_atoms(), bulk("Cu")], small_model())
    empty = sognet.predict([], small_model())
    assert len(empty) == 0
    assert empty.stress.shape == (0, 3, 3)


@pytest.mark.usefixtures("double")
def test_properties_that_are_asked_for_are_there_whatever_the_number_of_latents():
    asked = ["charges", "dipole", "quadrupole", "born_effective_charges"]
    cluster, model = random_atoms(5, pbc=False), small_model(n_latent=3)
    found = sognet.predict(cluster, model, properties=asked)
    charges = found.other_results[0]["latent"][:, 0]
    np.testing.assert_allclose(found.results[0]["charges"], charges, atol=1e-12)
    np.testing.assert_allclose(found.results[0]["dipole"], charges @ cluster.positions, atol=1e-10)
    assert set(asked) <= {*found.results[0], *found.other_results[0]}
    assert "charges" not in sognet.predict(cluster, model).results[0]


@pytest.mark.usefixtures("double")
def test_a_committee_of_opposite_charges_agrees_on_what_is_odd_in_them():
    """The energy does not tell their sign, so a plain mean would be zero."""
    cluster, model = random_atoms(5, pbc=False), small_model(n_latent=1, neutral=False)
    opposite = copy.deepcopy(model)
    opposite.latent_scale *= -1
    asked = {"properties": ["charges", "dipole", "born_effective_charges"]}
    (alone,), (both,) = (sognet.predict(cluster, m, **asked).results for m in (model, [model, opposite]))
    for name in asked["properties"]:
        np.testing.assert_allclose(both[name], alone[name], atol=1e-12)
    with pytest.raises(InputError, match="opposite signs"):
        sognet.predict(cluster, [model, opposite], field=[0.0, 0.0, 0.1])
