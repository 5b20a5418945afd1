"""Members of a committee and their uncertainty."""

import numpy as np
import pytest
import torch
from structures import saved_model

from sognet.errors import InputError
from sognet.model import load_committee
from sognet.model.committee import energy_uncertainty, forces_uncertainty


def test_uncertainty_is_the_sample_standard_deviation():
    energies = np.array([[1.0, 5.0], [2.0, 5.0], [6.0, 5.0]])
    np.testing.assert_allclose(energy_uncertainty(energies), [np.sqrt((4 + 1 + 9) / 2), 0.0])


def test_uncertainty_of_forces_estimates_the_width_of_a_component():
    forces = 0.3 * np.random.default_rng(0).normal(size=(8, 20_000, 3))
    assert np.sqrt(np.square(forces_uncertainty(forces)).mean()) == pytest.approx(0.3, rel=0.01)


def test_uncertainty_of_forces_turns_with_the_structure():
    forces = np.random.default_rng(0).normal(size=(4, 10, 3))
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    np.testing.assert_allclose(forces_uncertainty(forces @ rotation), forces_uncertainty(forces))


def test_members_are_loaded_in_order(tmp_path):
    files = [saved_model(tmp_path / f"{seed}.ckpt", seed=seed, cutoff=3.0 + seed) for seed in (1, 2)]
    members = load_committee(files, dtype=torch.float64)
    assert [m.cutoff for m in members] == [4.0, 5.0]
    assert {next(m.parameters()).dtype for m in members} == {torch.float64}


def test_members_that_know_other_elements_are_named(tmp_path):
    files = [saved_model(tmp_path / "salt.ckpt"), saved_model(tmp_path / "potash.ckpt", species=["K", "Cl"])]
    with pytest.raises(InputError, match=r"salt\.ckpt knows Na, Cl, .*potash\.ckpt knows K, Cl"):
        load_committee(files)
    with pytest.raises(InputError, match="at least two"):
        load_committee(files[:1])
