"""The runs of which an ensemble consists."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from ase.io import write
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from structures import labelled_atoms

from sognet.cli.configuration import CONFIGURATION
from sognet.errors import InputError
from sognet.training.ensemble import member_configuration, n_members, new_ensemble, resumed_ensemble


def composed(folder: Path, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        return compose("train", ["ensemble=3", f"folder={folder}", *overrides])


def sources(part):
    return {s.source for s in part}


@pytest.fixture
def config(tmp_path) -> DictConfig:
    frames = [labelled_atoms(6, seed=i) for i in range(12)]
    frames[4].symbols[:2] = "K"
    write(tmp_path / "mine.xyz", frames, format="extxyz")
    return composed(tmp_path / "run", f"dataset.path={tmp_path}/mine.xyz", "dataset.val_fraction=0.3", "seed=5")


def test_members_differ_in_seed_and_validation_structures_only(config, tmp_path):
    members = [member_configuration(config, number) for number in range(3)]
    assert [m.seed for m in members] == [5, 6, 7]
    assert [m.folder for m in members] == [f"{tmp_path}/run/member_{i}" for i in range(3)]
    assert members[1].callbacks.checkpoint.dirpath == f"{tmp_path}/run/member_1/checkpoints"
    splits = [instantiate(m.dataset, test_fraction=0.2) for m in members]
    assert len({frozenset(sources(s.test)) for s in splits}) == 1
    assert len({frozenset(sources(s.val)) for s in splits}) == 3
    for name in ("model", "optimizer", "trainer", "loss"):
        assert members[0][name] == members[2][name]
    assert {m.ensemble for m in members} == {1}
    assert config.seed == 5


@pytest.mark.parametrize(
    "overrides", [["dataset.val_path=val.xyz"], ["dataset.val_fraction=0"], ["dataset=dipeptides"]]
)
def test_validation_structures_that_are_given_stay(overrides, tmp_path):
    config = composed(tmp_path, *overrides)
    assert member_configuration(config, 2).dataset == config.dataset


def test_all_members_know_the_elements_of_all_structures(config):
    """Only one structure has K, and it is in the validation part of some member."""
    assert new_ensemble(config).model.short_range.species == ["Na", "Cl", "K"]


def test_resuming_keeps_or_adds_members(config, tmp_path):
    (tmp_path / "run").mkdir()
    OmegaConf.save(new_ensemble(config), tmp_path / "run" / "config.yaml")
    again = composed(tmp_path, f"resume={tmp_path}/run")
    for asked, expected in ((1, 3), (3, 3), (4, 4)):
        again.ensemble = asked
        assert n_members(again) == expected
    resumed = resumed_ensemble(again, ["trainer.max_epochs=7"])
    assert (resumed.ensemble, resumed.trainer.max_epochs, resumed.folder) == (4, 7, f"{tmp_path}/run")
    assert member_configuration(resumed, 0).callbacks.checkpoint.dirpath == f"{tmp_path}/run/member_0/checkpoints"
    with pytest.raises(InputError, match="keeps its groups"):
        resumed_ensemble(again, ["trainer=gpu"])


def test_only_ensembles_are_resumed_as_such(config, tmp_path):
    OmegaConf.save({"ensemble": 1}, tmp_path / "config.yaml")
    with pytest.raises(InputError, match="no ensemble"):
        resumed_ensemble(composed(tmp_path, f"resume={tmp_path}"), [])
    with pytest.raises(InputError, match="already holds a run"):
        new_ensemble(composed(tmp_path))


def test_the_command_is_kept_for_tables_of_runs(config, monkeypatch):
    """Without it they list all that any group sets."""
    hydra = SimpleNamespace(
        runtime=SimpleNamespace(choices={"optimizer": "adam", "hydra/launcher": "basic"}),
        overrides=SimpleNamespace(task=["optimizer=adam", "seed=5"]),
    )
    monkeypatch.setattr(HydraConfig, "initialized", lambda: True)
    monkeypatch.setattr(HydraConfig, "get", lambda: hydra)
    command = new_ensemble(config).command
    assert command.groups == {"optimizer": "adam"}
    assert command.given == ["optimizer", "seed"]
