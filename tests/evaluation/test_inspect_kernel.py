"""`sognet inspect` of models whose kernel made the data."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.io import read, write
from omegaconf import OmegaConf
from structures import deep_potential, labelled_atoms, random_atoms, saved_model

from sognet import SOGNet, SOGNetCalculator
from sognet.cli.configuration import CONFIGURATION
from sognet.errors import InputError
from sognet.evaluation.inspect_kernel import inspect_checkpoints
from sognet.evaluation.shorter_kernel import save
from sognet.long_range import FourierConvolution, SumOfGaussians
from sognet.long_range.species_pairs import kernel_of_pairs

LENGTH = 24.0


def ions(folder: Path, exponent: float, seed: int = 0) -> Path:
    """Checkpoint of a model of charges that interact by a power of the distance."""
    torch.manual_seed(seed)
    layer = FourierConvolution(SumOfGaussians.power_law(exponent, 3.5, n_gaussians=8), remove_self_interaction=True)
    model = SOGNet(deep_potential(4.0), layer, n_latent=1, charges={"Na": 1.0, "Cl": -1.0}, energy_scale=0.1)
    folder.mkdir(parents=True, exist_ok=True)
    save(model, folder / "model.ckpt")
    return folder / "model.ckpt"


def labelled_by(checkpoint: Path, file: Path, noise: float = 1e-4, n: int = 8) -> str:
    """Structures with the forces of a model, and noise in eV/Å."""
    rng, frames = np.random.default_rng(0), []
    for seed in range(n):
        atoms = random_atoms(48, cell=LENGTH * np.eye(3), seed=seed)
        atoms.positions += rng.normal(scale=1.0, size=(48, 3))
        atoms.calc = SOGNetCalculator(checkpoint, dtype="float64")
        atoms.arrays["forces"] = atoms.get_forces() + noise * rng.normal(size=(48, 3))
        atoms.info["energy"] = atoms.get_potential_energy()
        atoms.calc = None
        frames.append(atoms)
    write(file, frames, format="extxyz")
    return str(file)


def inspected(folder: Path, checkpoint, path: str | None = None, **values) -> dict:
    config = OmegaConf.load(Path(CONFIGURATION) / "inspect.yaml")
    config = OmegaConf.merge(config, {"checkpoint": checkpoint, "folder": str(folder), "device": "cpu"} | values)
    if path:
        files = OmegaConf.load(Path(CONFIGURATION) / "dataset" / "files.yaml")
        config = OmegaConf.merge(config, {"dataset": files}, {"dataset": {"path": path} | values.get("dataset", {})})
    inspect_checkpoints(config)
    return json.loads((folder / "inspection.json").read_text())


@pytest.mark.parametrize("exponent", [1.0, 3.0])
def test_the_decay_of_the_data_is_found_whatever_the_kernel_is(tmp_path, capsys, exponent):
    path = labelled_by(ions(tmp_path / "true", exponent), tmp_path / "data.xyz")
    found = inspected(tmp_path / "out", str(ions(tmp_path / "other", 2.0)), path)
    (kernel,) = found["kernel"]
    assert kernel["status"] == "found"
    assert abs(kernel["exponent"] - exponent) < max(kernel["exponent_uncertainty"], 0.06)  # of the series itself
    assert kernel["exponent_uncertainty"] < 0.5
    assert f"kernel: r^({-kernel['exponent']:.2f} ±" in capsys.readouterr().out
    with (tmp_path / "out" / "kernel_r.csv").open() as file:
        rows = list(csv.DictReader(file))
    beyond = [r for r in rows if r["determined_exponent"]]
    assert float(beyond[0]["r"]) >= 4.0
    assert all(float(r["uncertainty"]) > 0 for r in beyond)
    assert {f.name for f in (tmp_path / "out").iterdir()} == {
        "inspection.json", "kernel.png", "kernel_k.csv", "kernel_r.csv"
    }  # fmt: skip


def test_a_committee_has_the_spread_of_its_members(tmp_path, capsys):
    path = labelled_by(ions(tmp_path / "true", 1.0), tmp_path / "data.xyz")
    members = [str(ions(tmp_path / f"{seed}", 1.0, seed)) for seed in (1, 2, 3)]
    found = inspected(tmp_path / "out", members, path)
    exponents = [member[0]["exponent"] for member in found["members"].values()]
    assert found["kernel"][0]["exponent"] == pytest.approx(np.mean(exponents))
    assert capsys.readouterr().out.count("model.ckpt: r^(") == 3


def test_without_data_there_are_curves_only(tmp_path, capsys):
    found = inspected(tmp_path / "out", str(ions(tmp_path / "a", 1.0)))
    assert "curves only, no uncertainty: no config.yaml beside" in capsys.readouterr().out
    assert "exponent" not in found["kernel"][0]
    assert (tmp_path / "out" / "kernel.png").stat().st_size > 10_000


def test_forces_are_enough_and_the_structures_are_named(tmp_path, capsys):
    path = labelled_by(ions(tmp_path / "true", 1.0), tmp_path / "data.xyz", n=4)
    frames = read(path, ":")
    for atoms in frames:
        forces = atoms.get_forces()
        atoms.calc = None
        atoms.arrays["forces"] = forces
    write(path, frames, format="extxyz")
    found = inspected(tmp_path / "out", str(tmp_path / "true" / "model.ckpt"), path)
    assert found["kernel"][0]["status"] == "found"
    assert capsys.readouterr().out.startswith("4 of 4 structures with forces of test\n")
    by_training = {"val_fraction": 0.25}
    inspected(tmp_path / "out", str(tmp_path / "true" / "model.ckpt"), path, dataset=by_training, atoms=100)
    said = capsys.readouterr().out
    assert said.startswith("2 of 4 structures with forces of val and train: fewer than 3 are held out\n")
    assert "not determined: 2 structures with forces are too few" in said


def test_small_boxes_hide_the_kernel(tmp_path, capsys):
    checkpoint = str(saved_model(tmp_path / "a.ckpt"))
    write(tmp_path / "small.xyz", [labelled_atoms(12, seed=s) for s in range(4)], format="extxyz")
    found = inspected(tmp_path / "out", checkpoint, str(tmp_path / "small.xyz"), structures=4)
    assert found["kernel"][0]["status"] == "hidden"
    assert "no distance beyond the cutoff of 4.0 Å" in capsys.readouterr().out


def test_models_without_a_kernel_are_refused(tmp_path):
    save(SOGNet(deep_potential(), None), tmp_path / "control.ckpt")
    with pytest.raises(InputError, match="the model has no long range"):
        inspected(tmp_path / "out", str(tmp_path / "control.ckpt"))


def test_a_number_of_structures_that_makes_no_sense_is_refused(tmp_path):
    for name in ("structures", "atoms"):
        with pytest.raises(InputError, match=f"{name} must be a positive integer, got 0"):
            inspected(tmp_path / "out", str(saved_model(tmp_path / "a.ckpt")), **{name: 0})


def test_kernels_of_pairs_of_elements_are_named(tmp_path, capsys):
    kernel = kernel_of_pairs(SumOfGaussians.power_law(1.0, 4.0, n_gaussians=4), 2)
    save(SOGNet(deep_potential(), FourierConvolution(kernel, n_species=2)), tmp_path / "a.ckpt")
    frames = [labelled_atoms(12, cell=12 * np.eye(3), seed=s) for s in range(3)]
    write(tmp_path / "a.xyz", frames, format="extxyz")
    inspected(tmp_path / "out", str(tmp_path / "a.ckpt"), str(tmp_path / "a.xyz"))
    said = capsys.readouterr().out
    assert all(f"kernel {pair}: " in said for pair in ("Na-Na", "Na-Cl", "Cl-Cl"))
