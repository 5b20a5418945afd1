"""Modules and data sets of the user's own in a run: which settings they get, what is refused, what they add."""

import csv
import json
import sys
from importlib.util import find_spec

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from own_models import Repulsive, Yukawa
from structures import batch_of, random_atoms, small_model

from sognet import SOGNet, load_model
from sognet.cli.configuration import CONFIGURATION
from sognet.data.datasets.named import read_splits
from sognet.errors import InputError
from sognet.model import regularization
from sognet.training.build import check_regularization
from sognet.training.configuration_checks import check
from sognet.training.loss import PotentialLoss
from sognet.training.own_modules import check_saved_targets, with_own_targets
from sognet.training.resume import resumed_configuration, save_configuration
from sognet.training.run import train

TRUST = "trust=[own_models]"
REPULSIVE = "model.short_range._target_=own_models.Repulsive"
YUKAWA = "model.long_range._target_=own_models.Yukawa"
OWN_SET = "dataset._target_=own_models.own_set"


def composed(*overrides):
    with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        return compose("train", [*overrides, "folder=somewhere"])


def adopted(*overrides):
    config = composed(*overrides)
    check(config, overrides)
    return with_own_targets(config, overrides)


def test_a_target_of_ones_own_gets_its_own_settings_and_no_others():
    config = adopted(REPULSIVE, "+model.short_range.width=3", "model.short_range.cutoff=4.5", TRUST)
    assert dict(config.model.short_range) == {
        "_target_": "own_models.Repulsive", "species": None, "cutoff": 4.5, "width": 3,
    }  # fmt: skip
    custom = adopted("model/short_range=custom", REPULSIVE, "model.short_range.cutoff=4.5", TRUST)
    assert set(custom.model.short_range) == {"_target_", "species", "cutoff"}
    assert dict(adopted(OWN_SET, "dataset.path=a.xyz", TRUST).dataset) == {
        "_target_": "own_models.own_set", "path": "a.xyz",
    }  # fmt: skip
    config = adopted(YUKAWA, "+model.long_range.strength=2.0", TRUST)
    assert config.model.long_range.strength == 2.0
    assert "n_gaussians" not in config.model.long_range


def test_a_callback_in_the_working_directory_is_found_where_it_is_trusted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "mine_callback.py").write_text("import lightning\nclass Mine(lightning.Callback): ...\n")
    adopted("+callbacks.mine._target_=mine_callback.Mine", "trust=[mine_callback]")


def test_what_is_not_typed_stays():
    plain = composed("dataset.path=a.xyz")
    assert OmegaConf.to_container(with_own_targets(plain, ["dataset.path=a.xyz"])) == OmegaConf.to_container(plain)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([REPULSIVE], r"model.short_range._target_=own_models.Repulsive: .*trust=\[own_models\]"),
        ([YUKAWA], r"model.long_range._target_=own_models.Yukawa: .*trust=\[own_models\]"),
        ([OWN_SET], r"dataset._target_=own_models.own_set: .*trust=\[own_models\]"),
        ([REPULSIVE, TRUST, "+model.short_range.depth=3"], "there is no model.short_range.depth"),
        (["model/short_range=custom"], "needs model.short_range._target_="),
        (["model/short_range=custom", REPULSIVE, TRUST], "model.short_range.cutoff has no value"),
        (["dataset=custom"], "needs dataset._target_="),
        (["model._target_=own_models.Potential"], r"model._target_=own_models.Potential: .*trust=\[own_models\]"),
        (["+callbacks.mine._target_=mine_absent.Callback"], r"add trust=\[mine_absent\]"),
        (["dataset._target_=sognet.training.run.train"], "the data sets of sognet.data are charge_transfer, dimers"),
        ([REPULSIVE, "trust=[own_models.py]"], r"write trust=\[mine\]"),
        (["model.short_range._target_=own_models.Nothing", TRUST], "own_models has no Nothing"),
    ],
)
def test_what_could_not_be_loaded_again_is_refused_before_anything_happens(overrides, message):
    with pytest.raises(InputError, match=message):
        check(composed(*overrides), overrides)


@pytest.mark.parametrize(
    "node",
    [
        {"dataset": {"_target_": "os.system", "command": "true"}},
        {"callbacks": {"mine": {"_target_": "os.system", "command": "true"}}},
        {"trainer": {"plugins": [{"_target_": "sognet.training.run.time.sleep", "secs": 1}]}},
        {"optimizer": {"_target_": "torch.hub.load"}},
        {"optimizer": {"_target_": "torch.optim.lr_scheduler._warn_get_lr_called_within_step"}},
        {"logger": {"mine": {"_target_": "lightning.fabric.utilities.cloud_io._load", "path_or_url": "evil"}}},
        {"model": {"short_range": {"_target_": "own_models.Radial"}}},
    ],
)
def test_the_configuration_of_a_folder_runs_nothing_that_is_not_trusted(node):
    with pytest.raises(InputError, match=r"trust|classes of torch only"):
        check_saved_targets(OmegaConf.create(node), [])


def test_what_is_shipped_is_resumed_without_trust():
    of_trainings = [file for file in CONFIGURATION.glob("*/**/*.yaml") if "calculator" not in file.parts]
    for file in of_trainings:
        if file.stem != "custom" and not (file.parent.name == "optimizer" and find_spec("pytorch_optimizer") is None):
            check_saved_targets(OmegaConf.load(file), [])


def test_a_folder_does_not_say_what_is_trusted(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    config = OmegaConf.create(
        {"folder": str(tmp_path), "trust": ["own_models"], "dataset": {"_target_": "own_models.own_set"}}
    )
    OmegaConf.save(config, tmp_path / "config.yaml")
    with pytest.raises(InputError, match=r"trust=\[own_models\]"):
        resumed_configuration(tmp_path, [])
    assert resumed_configuration(tmp_path, ["trust=[own_models]"], ["own_models"]).trust == ["own_models"]
    save_configuration(config, tmp_path / "config.yaml")
    assert "trust" not in OmegaConf.load(tmp_path / "config.yaml")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"_target_": "own_models.no_set"}, "gives a list; it must return sognet.data.Splits"),
        ({"_target_": "own_models.set_of_atoms"}, "train holds Atoms; make each a Structure"),
        ({"_target_": "own_models.own_set", "n_tests": 3}, "unexpected keyword argument 'n_tests'"),
        ({"_target_": "own_models.own_set", "n_test": 30}, "leave none to train on"),
        ({}, "no data set"),
    ],
)  # fmt: skip
def test_a_function_that_is_no_data_set_is_refused(data, settings, message):
    settings = {"path": str(data)} | settings
    with pytest.raises(InputError, match=message):
        read_splits(settings, trust=["own_models"])


def test_terms_of_a_layer_must_be_there_and_have_a_name_of_their_own():
    class Taken(Yukawa):
        def regularization(self):
            return {"forces": self.kappa}

    model = SOGNet(Repulsive(["Na"], 4.0), Yukawa())
    check_regularization(PotentialLoss(1.0, 1.0, regularization={"screening": 1.0}), model)
    with pytest.raises(InputError, match=r"loss.regularization.kernel: .* adds screening"):
        check_regularization(PotentialLoss(1.0, 1.0, regularization={"kernel": 1.0}), model)
    with pytest.raises(InputError, match="adds no term"):
        check_regularization(PotentialLoss(1.0, 1.0, regularization={"x": 1.0}), SOGNet(Repulsive(["Na"], 4.0)))
    with pytest.raises(InputError, match="forces is a term of the loss already"):
        check_regularization(PotentialLoss(1.0, 1.0), SOGNet(Repulsive(["Na"], 4.0), Taken()))
    check_regularization(PotentialLoss(1.0, 1.0, regularization={"kernel": 1.0}), small_model())


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """Model with energies, long-range layer without a kernel, and data set, all of one's own."""
    folder = tmp_path_factory.mktemp("run")
    overrides = [
        REPULSIVE, "model.short_range.cutoff=4.0", YUKAWA, OWN_SET, f"dataset.path={data}", TRUST, "trainer=cpu",
        "trainer.max_epochs=2", "logger=csv", "loss.regularization={screening: 0.5}", "~callbacks.progress",
    ]  # fmt: skip
    config = adopted(*overrides)
    config.folder = str(folder)
    train(config)
    return folder


def test_a_run_of_modules_of_ones_own_reports_what_they_say(run):
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(next(r["kappa"] for r in rows if r["kappa"])) == pytest.approx(0.5, abs=0.2)
    assert any(r["train/screening"] for r in rows)
    summary = json.loads((run / "summary.json").read_text())
    assert summary["train"]["n_structures"] + summary["val"]["n_structures"] + summary["test"]["n_structures"] == 20
    model = load_model(run, trust=["own_models"])
    assert summary["diagnostics"] == {"kappa": pytest.approx(model.long_range.kappa.item())}
    assert "kernel" not in summary
    assert set(summary["figures"]) == {"parity"}


def test_a_term_of_a_layer_has_the_weight_that_it_is_given():
    model = SOGNet(Repulsive(["Na", "Cl"], 4.0), Yukawa()).train()
    with torch.no_grad():
        model.long_range.kappa.fill_(1.5)
    batch = batch_of(random_atoms(5))
    loss = PotentialLoss(0.0, 0.0, regularization={"screening": 3.0})
    terms = loss.at(5)(model(batch), batch, regularization(model))
    assert terms["loss"].item() == pytest.approx(3.0)
    terms["loss"].backward()
    assert model.long_range.kappa.grad.item() == pytest.approx(6.0)
    assert not PotentialLoss(1.0, 1.0).regularizes
