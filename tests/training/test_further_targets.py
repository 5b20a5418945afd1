"""A target takes one row of the table and one function of a model: everything else follows."""

import numpy as np
import pytest
from ase.io import read, write
from fitting import metrics_of_epochs
from structures import labelled_atoms, small_model
from torch.optim import Adam

from sognet import SOGNet
from sognet.analysis.error_groups import breakdown
from sognet.analysis.findings import sentences
from sognet.analysis.predictions import errors, predict, split_errors, write_predictions
from sognet.analysis.spread import spreads
from sognet.data import Splits, read_structures
from sognet.data.streaming.preparation import prepare
from sognet.data.streaming.sharded import stream
from sognet.errors import InputError
from sognet.targets import TARGETS, Target
from sognet.training.build import check_targets, set_scales
from sognet.training.callbacks.validation import TrainingErrors
from sognet.training.loss import PotentialLoss
from sognet.training.module import PotentialModule

pytestmark = pytest.mark.usefixtures("double")

WITHOUT_DIPOLE = 2


@pytest.fixture(autouse=True)
def table(monkeypatch):
    monkeypatch.setitem(
        TARGETS, "dipole", Target("dipole", "dipole", "μ", "me·Å", 1e3, shape=(3,), keys=("mu", "dipole"))
    )
    charge = Target("partial_charges", "charge", "q", "me", 1e3, per_atom=True, keys=("q",))
    monkeypatch.setitem(TARGETS, charge.name, charge)


class Charged(SOGNet):
    """The latents are charges, and make the dipole of a cluster."""

    def forward(self, graph, forces=True, stress=True, energies=False):
        out = super().forward(graph, forces, stress, energies)
        charges = out["latent"][:, 0]
        moments = charges[:, None] * graph.pos
        out["partial_charges"] = charges
        out["dipole"] = moments.new_zeros(len(out["energy"]), 3).index_add(0, graph.batch, moments)
        return out


@pytest.fixture
def structures(tmp_path):
    """Clusters with charges and dipoles; one lacks the dipole."""
    frames = [labelled_atoms(4 + i % 3, seed=i, pbc=False) for i in range(12)]
    for i, atoms in enumerate(frames):
        atoms.arrays["q"] = np.where(atoms.numbers == 11, 0.9, -0.9)
        if i != WITHOUT_DIPOLE:
            atoms.info["mu"] = atoms.arrays["q"] @ atoms.positions
    write(tmp_path / "mine.xyz", frames, format="extxyz")
    return read_structures(tmp_path / "mine.xyz")


def charged_model():
    model = small_model(n_latent=1)
    model.__class__ = Charged
    return model


def test_a_target_that_no_file_has_is_named_with_its_keys_and_the_setting_that_is_there(structures):
    for structure in structures:
        structure.further.pop("partial_charges")
    loss = PotentialLoss(1.0, 1.0, targets={"partial_charges": 2.0})
    with pytest.raises(
        InputError, match=r"\(loss\.targets\.partial_charges\).*name it q .*leave it out of loss\.targets"
    ):
        check_targets(loss, Splits("mine", structures))


def test_it_is_read_and_survives_streaming(structures, tmp_path):
    assert sum(s.value("dipole") is None for s in structures) == 1
    prepare(Splits("mine", structures), tmp_path / "prepared")
    streamed = stream(str(tmp_path / "prepared")).train
    assert (streamed.contents.count("dipole"), streamed.contents.count("partial_charges")) == (11, 12)
    for a, b in zip(structures, streamed, strict=True):
        for name in ("dipole", "partial_charges", "forces"):
            np.testing.assert_array_equal(a.value(name), b.value(name))


@pytest.mark.parametrize("settings", [{}, {"dimensionless": True, "huber_delta": 1.0}])
@pytest.mark.parametrize("streamed", [False, True])
def test_it_trains(structures, tmp_path, streamed, settings, device):
    splits = Splits("mine", structures, structures)
    if streamed:
        prepare(splits, tmp_path / "prepared")
        splits = stream(str(tmp_path / "prepared"))
    loss = PotentialLoss(
        0.0,
        0.0,
        targets={"dipole": 1.0, "partial_charges": 2.0},
        stages=[{"epochs": 1, "partial_charges": 1.0}],
        **settings,
    )
    check_targets(loss, splits)
    set_scales(loss, splits.train)
    module = PotentialModule(charged_model(), loss, lambda p: Adam(p, lr=0.03))
    found = metrics_of_epochs(module, splits, device, batch_size=3, max_epochs=30, callbacks=[TrainingErrors()])
    for name in ("train/dipole_rmse", "train/charge_rmse", "val/dipole_rmse", "val/charge_mae"):
        assert found[-1][name] < 0.7 * found[0][name], name
    assert found[-1]["val/loss"] < found[0]["val/loss"]


def test_it_is_reported(structures, tmp_path):
    predictions = list(predict(charged_model(), structures, batch_size=5))
    found, reference = errors(predictions), [s.value("partial_charges") for s in structures]
    difference = np.concatenate([p.latent[:, 0] - q for p, q in zip(predictions, reference, strict=True)])
    assert found["charge_rmse"] == pytest.approx(1e3 * np.sqrt(np.square(difference).mean()))
    assert found["n_dipole"] == 11
    assert spreads(predictions)["charge_spread"] == pytest.approx(1e3 * np.concatenate(reference).std())
    rows = {row["group"]: row for row in breakdown({"test": predictions}) if row["split"] == "test"}
    assert rows["Na"]["charge_rmse"] > 0
    summary = split_errors({"test": predictions}) | {"spread": {"test": spreads(predictions)}}
    assert "dipole " in next(sentences(summary))
    assert "me·Å" in next(sentences(summary))
    write_predictions(tmp_path / "predictions.extxyz", predictions, ["test"] * 12)
    for atoms, p in zip(read(tmp_path / "predictions.extxyz", index=":"), predictions, strict=True):
        np.testing.assert_allclose(atoms.arrays["partial_charges"], p.latent[:, 0], atol=1e-7)
        np.testing.assert_allclose(
            atoms.arrays["reference_partial_charges"], p.structure.value("partial_charges"), atol=1e-7
        )
        assert ("reference_dipole" in atoms.info) == (p.structure.value("dipole") is not None)
        np.testing.assert_allclose(atoms.get_dipole_moment(), p.value("dipole"), atol=1e-6)
