"""Structures that are periodic along some directions only are taken, or refused by name if a layer cannot sum them."""

import numpy as np
import pytest
from ase.io import write
from structures import labelled_atoms, small_model

from sognet.analysis.predictions import predict
from sognet.data import Splits, from_files
from sognet.data.slabs import leave_out_slabs
from sognet.errors import InputError
from sognet.long_range import FourierConvolution


@pytest.fixture
def path(tmp_path):
    frames = [labelled_atoms(seed=i) for i in range(6)]
    frames[3].pbc = [True, True, False]
    write(tmp_path / "s.xyz", frames, format="extxyz")
    return tmp_path / "s.xyz"


def splits_of(path, **settings):
    return from_files(path, val_fraction=0.0, test_fraction=0.0, **settings)


def test_slabs_are_refused_by_name_or_left_out(path):
    splits = splits_of(path)
    splits.weights = np.arange(1.0, 7.0)
    with pytest.raises(InputError, match=r"s\.xyz, frame 3: .*pbc = T T F.*dataset\.pbc=\[true,true,true\]"):
        leave_out_slabs(splits, skip=False)
    leave_out_slabs(splits, skip=True)
    assert len(splits.train) == 5
    assert splits.weights.tolist() == [1, 2, 3, 5, 6]
    (reason,) = splits.skipped
    assert "frame 3" in reason
    with pytest.raises(InputError, match="no structures left to train on"):
        leave_out_slabs(Splits("s", splits_of(path).train[3:4]), skip=True)


def test_directions_can_be_set(path):
    splits = splits_of(path, pbc=[True, True, True])
    assert all(s.pbc.all() for s in splits.train)
    leave_out_slabs(splits, skip=False)
    with pytest.raises(InputError, match=r"dataset\.pbc must be three times true or false"):
        splits_of(path, pbc=[True, True])


def test_prediction_takes_slabs_or_names_the_first(path, monkeypatch):
    structures, model = splits_of(path).train, small_model()
    assert all(np.isfinite(p.forces).all() for p in predict(model, structures))
    monkeypatch.setattr(FourierConvolution, "takes_slabs", False)
    with pytest.raises(InputError, match=r"s\.xyz, frame 3"):
        list(predict(model, structures))
    model.long_range = None
    assert all(np.isfinite(p.forces).all() for p in predict(model, structures))
