"""One wrong frame does not ruin a training with the default loss."""

import numpy as np
import torch
from ase.build import bulk
from ase.calculators.emt import EMT
from fitting import fit
from hydra.utils import instantiate
from omegaconf import OmegaConf

from sognet import SOGNet
from sognet.cli.configuration import CONFIGURATION
from sognet.data import Keys, Structure, statistics
from sognet.data.loading.loader import GraphDataset
from sognet.short_range import CACE
from sognet.simulation import predict
from sognet.training.build import set_scales
from sognet.training.initial_values import initialize
from sognet.training.module import PotentialModule


def frames(n):
    rng = np.random.default_rng(0)
    made = []
    for number in range(n):
        atoms = bulk("Cu", cubic=True)
        atoms.symbols[rng.integers(4)] = "Au"
        atoms.rattle(0.1, rng=rng)
        atoms.calc = EMT()
        atoms.info["energy"], atoms.arrays["forces"] = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = None
        made.append(Structure.from_atoms(atoms, Keys(), f"frame {number}"))
    return made


def force_error(spoil=lambda structure: None, **settings):
    """RMS over frames that the training has not seen, after five epochs."""
    structures = frames(46)
    train, test = structures[:30], structures[30:]
    spoil(train[7])
    loss = instantiate(OmegaConf.load(CONFIGURATION / "loss" / "default.yaml"), **settings)
    set_scales(loss, train)
    torch.manual_seed(0)
    found = statistics(train)
    short_range = CACE(found.species, 4.0, n_radial=6, l_max=2, nu_max=2, n_embedding=2)
    model = SOGNet(
        short_range, None, energy_scale=found.force_rms, reference_energies=found.reference_energies,
        standardize=True, bypass=True, feature_scale=0.04, activation="silu",
    )  # fmt: skip
    initialize(model, train, None)
    optimizer = instantiate(OmegaConf.load(CONFIGURATION / "optimizer" / "soap.yaml"))
    fit(PotentialModule(model, loss, optimizer), GraphDataset(train, 4.0), [], batch_size=2, max_epochs=5)
    predicted = predict([s.to_atoms() for s in test], model.eval())
    errors = np.concatenate(predicted.forces) - np.concatenate([s.forces for s in test])
    return float(np.sqrt(np.square(errors).mean()))


def hundredfold(structure):
    structure.forces = 100 * structure.forces


def far_off(structure):
    structure.energy += 1000.0


def test_a_wrong_frame_does_not_ruin_a_training():
    clean = force_error()
    assert force_error(hundredfold) < 1.5 * clean
    assert force_error(far_off) < 1.5 * clean
    assert force_error(hundredfold, huber_delta=None) > 2.0 * clean


def test_published_experiments_square_all_errors_and_leave_gradients_as_they_are():
    for group, setting, published in (("loss", "huber_delta", "squared"), ("module", "gradient_limit", "published")):
        default, theirs = (OmegaConf.load(CONFIGURATION / group / f"{name}.yaml") for name in ("default", published))
        assert default[setting] is not None
        assert theirs[setting] is None
        for file in (CONFIGURATION / "experiment").glob("*.yaml"):
            text = file.read_text()
            assert f"override /{group}: {published}" in text or "- dimers\n" in text, file
