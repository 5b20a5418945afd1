"""Predictions for structures without reference values."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import read, write
from omegaconf import OmegaConf
from structures import random_atoms, saved_model

from sognet import SOGNetCalculator
from sognet.cli.configuration import CONFIGURATION
from sognet.errors import InputError
from sognet.evaluation.predict import predict_file


def predicted(checkpoint, path: Path | None, folder: Path) -> list[Atoms]:
    """What `sognet predict` writes."""
    config = OmegaConf.load(Path(CONFIGURATION) / "predict.yaml")
    values = {
        "checkpoint": checkpoint,
        "path": path and str(path),
        "folder": str(folder),
        "device": "cpu",
        "batch_size": 2,
    }
    predict_file(OmegaConf.merge(config, values | {"dtype": "float64"}))
    return read(folder / "predictions.extxyz", ":")


@pytest.fixture
def frames():
    frames = [random_atoms(n, seed=n, pbc=n % 2 == 0) for n in (9, 4, 12, 6, 5)]
    for number, atoms in enumerate(frames):
        atoms.info |= {"name": f"frame {number}", "charge": number % 2}
        atoms.arrays["site"] = np.arange(len(atoms))[::-1].copy()
    return frames


@pytest.mark.parametrize("several", [False, True])
def test_predictions_are_those_of_the_calculator_in_the_order_of_the_file(frames, several, tmp_path):
    write(tmp_path / "new.xyz", frames, format="extxyz")
    files = [str(saved_model(tmp_path / f"{s}.ckpt", seed=s, total_charge=True)) for s in range(2 if several else 1)]
    found = predicted(files, tmp_path / "new.xyz", tmp_path / "out")
    for atoms, given in zip(found, frames, strict=True):
        assert atoms.info["name"] == given.info["name"]
        np.testing.assert_array_equal(atoms.arrays["site"], given.arrays["site"])
        np.testing.assert_allclose(atoms.positions, given.positions, atol=1e-7)
        given.positions = atoms.positions  # as rounded in the file
        given.calc = SOGNetCalculator(files, dtype=torch.float64)
        assert atoms.get_potential_energy() == pytest.approx(given.get_potential_energy(), abs=1e-6)
        np.testing.assert_allclose(atoms.get_forces(), given.get_forces(), atol=1e-6)
        results = given.calc.other_results
        for name in ("energy_short_range", "energy_long_range", *(["energy_uncertainty"] if several else [])):
            assert atoms.info[name] == pytest.approx(results[name], abs=1e-6)
        for name in ("latent", *(["forces_uncertainty"] if several else [])):
            np.testing.assert_allclose(atoms.arrays[name], results[name], atol=1e-6)
        assert ("energy_uncertainty" in atoms.info) == several
        assert ("stress" in atoms.calc.results) == bool(given.pbc.all())
        if given.pbc.all():
            np.testing.assert_allclose(atoms.get_stress(), given.get_stress(), atol=1e-6)


def test_other_formats_are_read(tmp_path):
    given = random_atoms(8)
    write(tmp_path / "POSCAR", given, format="vasp", sort=True)
    (found,) = predicted(str(saved_model(tmp_path / "a.ckpt")), tmp_path / "POSCAR", tmp_path / "out")
    np.testing.assert_allclose(found.cell.array, given.cell.array)
    assert "stress" in found.calc.results


def test_unknown_elements_and_missing_files_are_named(tmp_path):
    checkpoint = str(saved_model(tmp_path / "a.ckpt"))
    foreign = random_atoms(6)
    foreign.symbols[2] = "K"
    write(tmp_path / "new.xyz", [random_atoms(6), foreign], format="extxyz")
    with pytest.raises(InputError, match=r"new\.xyz, frame 1: has K, which the model does not know"):
        predicted(checkpoint, tmp_path / "new.xyz", tmp_path / "out")
    with pytest.raises(InputError, match=r"none\.xyz"):
        predicted(checkpoint, tmp_path / "none.xyz", tmp_path / "out")
    with pytest.raises(InputError, match="needs path"):
        predicted(checkpoint, None, tmp_path / "out")
