"""Old names of settings: refused where they are typed, translated in the folders of runs."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_object
from omegaconf import OmegaConf

from sognet.analysis.run_data import trained_configuration
from sognet.cli.configuration import CONFIGURATION, groups
from sognet.errors import InputError
from sognet.renamed_settings import ADDED, RENAMED, refuse_renamed, up_to_date
from sognet.training.resume import resumed_configuration


def composed(command: str = "train"):
    with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        return compose(command, ["folder=here"])


@pytest.mark.parametrize("new", RENAMED.values())
def test_todays_names_exist(new):
    name, _, value = new.partition("=")
    if name == "_target_":
        get_object(value)
    elif value:
        assert value in groups()[name]
    else:
        config = composed("simulate" if name.startswith("simulation.") else "train")
        assert name in groups() or OmegaConf.select(config, name, default=groups) is not groups
    for old in RENAMED:
        assert new != old


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("kernel_lr_factor=0.1", "kernel_lr_factor is called module.kernel_lr_factor now"),
        ("+warmup_steps=5", "warmup_steps is called module.warmup_steps now"),
        ("model.composition_energies.O=-1", "called model.reference_energies now"),
        ("sweep=optuna", "sweep is called hparams_search now"),
        ("dataset=by_hand", "dataset=by_hand is called dataset=manual_download now"),
        ("dataset._target_=sognet.data.by_hand", "from_manual_download"),
    ],
)
def test_an_old_name_is_refused_by_the_new_one(argument, message):
    with pytest.raises(InputError, match=message):
        refuse_renamed(["dataset.path=a.xyz", argument])


def test_names_that_only_resemble_old_ones_are_accepted():
    refuse_renamed(["module.warmup_steps=3", "hydra.sweep.dir=a", "dataset.path=sweep", "-m", "~callbacks.progress"])


OLD = """
seed: 3
kernel_lr_factor: 0.5
latent_lr_factor: 2.0
kernel_weight_decay: 0.25
warmup_steps: 7
folder: ${paths.outputs}
dataset: {_target_: sognet.data.by_hand, name: nacl_clusters}
model: {composition_energies: {O: -1.0}, n_latent: 1}
batch: {batch_size: 4, stages: []}
callbacks:
  stop: {_target_: sognet.training.callbacks.StopWhereNotFinite, folder: here}
"""


@pytest.fixture
def old_run(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    (tmp_path / "config.yaml").write_text(OLD)
    return tmp_path


def test_old_runs_are_resumed_with_what_they_were_told(old_run):
    config = resumed_configuration(old_run, ["module.warmup_steps=9"])
    assert dict(config.module) == {
        "_target_": "sognet.training.module.PotentialModule",
        "_partial_": True,
        "kernel_lr_factor": 0.5,
        "latent_lr_factor": 2.0,
        "kernel_weight_decay": 0.25,
        "warmup_steps": 9,
    }
    assert config.model == {"reference_energies": {"O": -1.0}, "n_latent": 1}
    assert config.callbacks.stop._target_.endswith("TerminateOnNonFiniteGradient")
    assert config.batch._target_ == "sognet.data.StructureDataModule"
    assert config.batch.batch_size == 4
    assert config.train
    assert config.test
    assert config.tags == []
    assert "warmup_steps" not in config


def test_old_runs_are_evaluated_on_their_data(old_run):
    config = trained_configuration(old_run / "checkpoints" / "last.ckpt")
    assert config.dataset._target_ == "sognet.data.from_manual_download"


def test_a_configuration_of_today_stays_as_it_is():
    config = composed()
    unresolved = OmegaConf.to_container(config, resolve=False)  # since the folder's time may differ by a second
    assert OmegaConf.to_container(up_to_date(config), resolve=False) == unresolved
    assert up_to_date(OmegaConf.create({"train": False})).train is False
    for name in ADDED:
        assert OmegaConf.select(config, name, default=ADDED) is not ADDED


def test_what_is_no_mapping_is_left_to_the_checks():
    config = OmegaConf.create({"module": "mine", "model": [1], "dataset": None})
    assert up_to_date(config).module == "mine"
