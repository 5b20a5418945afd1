"""`sognet reduce`: the same model with fewer Gaussians."""

from pathlib import Path

import numpy as np
import pytest
from ase.io import write
from omegaconf import OmegaConf
from structures import deep_potential, random_atoms, saved_model

from sognet import SOGNet, SOGNetCalculator, load_model
from sognet.cli.configuration import CONFIGURATION
from sognet.errors import InputError
from sognet.evaluation.shorter_kernel import reduce_checkpoint, save


def reduced(folder: Path, checkpoint, **values) -> Path:
    config = OmegaConf.load(Path(CONFIGURATION) / "reduce.yaml")
    values = {"checkpoint": checkpoint, "folder": str(folder), "device": "cpu"} | values
    reduce_checkpoint(OmegaConf.merge(config, values))
    return folder / "reduced.ckpt"


def test_structures_say_what_is_needed_and_what_changes(tmp_path, capsys):
    checkpoint = str(saved_model(tmp_path / "a.ckpt"))
    frames = [random_atoms(n, seed=n) for n in (9, 12)]
    write(tmp_path / "cells.xyz", frames, format="extxyz")
    file = reduced(tmp_path / "out", checkpoint, path=str(tmp_path / "cells.xyz"), tolerance=1e-3)
    before, after = (load_model(f).long_range.kernel.n_gaussians for f in (checkpoint, file))
    assert after < before
    said = capsys.readouterr().out
    assert f"channel 0: {before} -> {after} Gaussians" in said
    assert "for periods up to 7.59 Å" in said
    assert "2 structures: energies change by at most" in said
    old, new = (SOGNetCalculator(f, dtype="float64") for f in (checkpoint, file))
    for atoms in frames:
        forces = [c.get_forces(atoms.copy()) for c in (old, new)]
        np.testing.assert_allclose(*forces, atol=1e-3 * np.abs(forces[0]).max())


def test_without_periodic_structures_no_gaussian_is_unseen(tmp_path, capsys):
    checkpoint = str(saved_model(tmp_path / "a.ckpt"))
    write(tmp_path / "clusters.xyz", [random_atoms(6, pbc=False)], format="extxyz")
    reduced(tmp_path / "out", checkpoint, path=str(tmp_path / "clusters.xyz"))
    assert "for any structures" in capsys.readouterr().out


def test_where_no_shorter_kernel_is_close_enough_the_model_stays(tmp_path, capsys):
    checkpoint = str(saved_model(tmp_path / "a.ckpt"))
    file = reduced(tmp_path / "out", checkpoint, tolerance=1e-15)
    assert "no shorter kernel keeps the tolerance of 1e-15 for any structures" in capsys.readouterr().out
    before, after = (load_model(f).long_range.kernel.bandwidths for f in (checkpoint, file))
    np.testing.assert_array_equal(before.detach(), after.detach())


def test_what_cannot_be_reduced_is_refused(tmp_path):
    checkpoint = str(saved_model(tmp_path / "a.ckpt"))
    control = str(tmp_path / "control.ckpt")
    save(SOGNet(deep_potential(), None), Path(control))
    with pytest.raises(InputError, match="no kernel that is a sum of Gaussians"):
        reduced(tmp_path / "out", control)
    with pytest.raises(InputError, match="takes one checkpoint, and 2 are named"):
        reduced(tmp_path / "out", [checkpoint, control])
    with pytest.raises(InputError, match="tolerance < 1"):
        reduced(tmp_path / "out", checkpoint, tolerance=3.0)
