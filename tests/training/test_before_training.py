"""What a run says, and refuses, before it begins to train."""

import logging

import pytest
from ase.io import write
from interruptions import tiny_run
from structures import labelled_atoms

from sognet.errors import InputError
from sognet.training.run import train


@pytest.fixture
def data(tmp_path):
    frames = [labelled_atoms(4 + i % 4, seed=i) for i in range(20)]
    frames[3].arrays["forces"][:] = 0.0
    write(tmp_path / "mine.xyz", frames, format="extxyz")
    return f"dataset.path={tmp_path / 'mine.xyz'}"


def test_what_stands_out_in_the_data_is_named_before_a_wrong_monitor_ends_the_run(data, tmp_path, caplog):
    config = tiny_run(tmp_path / "run", data, "callbacks.checkpoint.monitor=val/force_rms")
    with caplog.at_level(logging.INFO), pytest.raises(InputError, match="did you mean val/force_rmse"):
        train(config)
    assert "all forces of 1 structure are exactly zero" in caplog.text
    assert not list((tmp_path / "run" / "checkpoints").iterdir())
