"""Fine-tuning from a checkpoint, and parameters that stay as they are."""

from functools import partial

import numpy as np
import pytest
import torch
from structures import labelled_atoms, small_model
from torch.optim import AdamW

from sognet.analysis.predictions import predict
from sognet.data import Keys, Structure
from sognet.errors import InputError
from sognet.model.checkpoint import model_entry
from sognet.training.fine_tuning import freeze, model_to_fine_tune
from sognet.training.loss import PotentialLoss
from sognet.training.module import PotentialModule


@pytest.fixture
def checkpoint(tmp_path):
    model = small_model(reference_energies={"Na": -5.0, "Cl": -9.0})
    weights = {f"model.{name}": value for name, value in model.state_dict().items()}
    path = tmp_path / "trained.ckpt"
    torch.save({"sognet": model_entry(model), "state_dict": weights}, path)
    return path


def test_a_model_of_another_reference_keeps_its_forces_and_shifts_its_energies(checkpoint):
    """Data of the model itself with other energies per atom: those are found, and nothing is left to learn."""
    shifts = {11: 3.25, 17: -41.5}
    atoms = [labelled_atoms(n, seed=n) for n in (5, 12, 9, 20)]
    structures = [Structure.from_atoms(a, Keys(), "test") for a in atoms]
    before = list(predict(model_to_fine_tune(checkpoint, structures, {}), structures))
    for structure, prediction in zip(structures, before, strict=True):
        structure.energy = prediction.energy + sum(shifts[z] for z in structure.numbers)
    model = model_to_fine_tune(checkpoint, structures)
    assert model.reference_energies == pytest.approx({"Na": -5.0 + 3.25, "Cl": -9.0 - 41.5})
    for structure, old, new in zip(structures, before, predict(model, structures), strict=True):
        assert new.energy == pytest.approx(structure.energy, abs=1e-6)
        np.testing.assert_allclose(new.forces, old.forces)


def test_isolated_atoms_give_the_energies_that_the_model_leaves_of_them(checkpoint):
    """Also for a model whose own energy of a single atom is not zero."""
    single = []
    for symbol, energy in (("Na", -100.0), ("Cl", -200.0)):
        atoms = labelled_atoms(1, pbc=False)
        atoms.symbols[:], atoms.info["energy"] = symbol, energy
        single.append(Structure.from_atoms(atoms, Keys(), symbol))
    others = [Structure.from_atoms(labelled_atoms(n, seed=n), Keys(), "test") for n in (5, 9)]
    model = model_to_fine_tune(checkpoint, [*single, *others], "isolated")
    assert [p.energy for p in predict(model.eval(), single)] == pytest.approx([-100.0, -200.0], abs=1e-4)


def test_elements_that_the_model_does_not_know_are_named(checkpoint):
    atoms = labelled_atoms(5)
    atoms.symbols[0] = "Xe"
    with pytest.raises(InputError, match="frame 7: has Xe"):
        model_to_fine_tune(checkpoint, [Structure.from_atoms(atoms, Keys(), "frame 7")])


def test_frozen_parameters_stay_as_they_are_and_get_no_gradient():
    model = small_model()
    freeze(model, ["short_range.*", "long_range.*"])
    names = {name.partition(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert names == {"energy_head", "latent_head"}
    module = PotentialModule(model, PotentialLoss(1.0, 1.0), partial(AdamW, lr=0.1), None, 3.0)
    optimized = {id(p) for g in module.configure_optimizers()["optimizer"].param_groups for p in g["params"]}
    assert optimized == {id(p) for p in model.parameters() if p.requires_grad}


@pytest.mark.parametrize(("patterns", "message"), [(["long_rnge.*"], "'long_rnge"), (["*"], "no parameter to train")])
def test_patterns_that_freeze_nothing_or_everything_are_refused(patterns, message):
    with pytest.raises(InputError, match=message):
        freeze(small_model(), patterns)
