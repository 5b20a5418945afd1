"""The data that an evaluation reads, named by a configuration that may be a stranger's."""

import pytest
from omegaconf import OmegaConf

from sognet.errors import InputError
from sognet.evaluation.run import load_splits, trained_configuration

HARMLESS = {"_target_": "sognet.data.electrolyte", "n_ions": 8, "n_frames": 4}


@pytest.mark.parametrize(
    "hostile",
    [
        {"_target_": "os.system"},
        {"_target_": "sognet.data.datamodule.os.system"},
        {"_target_": "sognet.data.build_graph"},
        {"_target_": ["os.system"]},
        {"_target_": "sognet.data.dipeptides", "splits": [{"_target_": "os.system", "command": "touch {owned}"}]},
        HARMLESS | {"root": {"_target_": "os.system", "command": "touch {owned}"}},
        HARMLESS | {"interaction": {"nested": [{"_target_": "os.system", "command": "touch {owned}"}]}},
        HARMLESS | {"_args_": ["coulomb"]},
    ],
)
def test_a_strangers_configuration_runs_nothing(tmp_path, hostile):
    owned = tmp_path / "owned"
    text = OmegaConf.to_yaml(OmegaConf.create(hostile)).replace("{owned}", str(owned))
    with pytest.raises((InputError, TypeError, KeyError)):
        load_splits(OmegaConf.create(text), tmp_path / "a.ckpt")
    assert not owned.exists()


def test_missing_and_unknown_settings_are_named(tmp_path):
    with pytest.raises(InputError, match="pair"):
        load_splits(OmegaConf.create({"_target_": "sognet.data.dimers"}), tmp_path)
    with pytest.raises(InputError, match="nowhere"):
        load_splits(OmegaConf.create({"_target_": "sognet.data.dimers", "pair": "${nowhere}"}), tmp_path)
    with pytest.raises(InputError, match="colour"):
        load_splits(OmegaConf.create({"_target_": "sognet.data.dimers", "pair": "CC", "colour": 1}), tmp_path)


@pytest.mark.parametrize("text", ["{", "- a\n- b\n", "a: ${"])
def test_a_malformed_configuration_is_named(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(InputError, match=r"config\.yaml"):
        trained_configuration(tmp_path / "checkpoints" / "best.ckpt")
