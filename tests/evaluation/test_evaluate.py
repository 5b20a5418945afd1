"""Which data an evaluation reads, named by configurations that may be a stranger's, and what it writes."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.io import read, write
from omegaconf import OmegaConf
from structures import labelled_atoms, saved_model

from sognet.analysis.run_data import load_splits, shared_splits, trained_configuration, with_charge_key
from sognet.cli.configuration import CONFIGURATION
from sognet.data.split_identity import identities
from sognet.data.splits import fill_defaults
from sognet.errors import InputError
from sognet.evaluation.evaluate import evaluate_checkpoints
from sognet.model import load_model
from sognet.simulation import predict
from sognet.targets import TARGETS

HARMLESS = {"_target_": "sognet.data.electrolyte", "n_ions": 8, "n_frames": 4}


@pytest.mark.parametrize(
    "hostile",
    [
        {"_target_": "os.system"},
        {"_target_": "sognet.data.loading.datamodule.os.system"},
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


@pytest.fixture
def runs(tmp_path) -> list[Path]:
    """Run folders of three models that were trained on the same file."""
    write(tmp_path / "mine.xyz", [labelled_atoms(5 + i % 3, seed=i) for i in range(12)], format="extxyz")
    dataset = {"_target_": "sognet.data.from_files", "path": str(tmp_path / "mine.xyz"), "val_fraction": 0.2}
    folders = [tmp_path / "sweep" / f"{number}_seed={number}" for number in range(3)]
    for number, folder in enumerate(folders):
        saved_model(folder / "checkpoints" / "best.ckpt", seed=number)
        OmegaConf.save({"dataset": dataset, "loss": {"stress": 1.0}}, folder / "config.yaml")
    return folders


def change(folder: Path, **dataset) -> None:
    """Change the data set of a run."""
    config = OmegaConf.load(folder / "config.yaml")
    config.dataset.update(dataset)
    OmegaConf.save(config, folder / "config.yaml")


def evaluated(checkpoint, folder: Path, **settings) -> dict:
    """What `sognet evaluate` writes to `comparison.json` or `summary.json`."""
    config = OmegaConf.load(Path(CONFIGURATION) / "evaluate.yaml")
    values = {"checkpoint": checkpoint, "folder": str(folder), "device": "cpu", "dtype": "float64"}
    evaluate_checkpoints(OmegaConf.merge(config, values | settings))
    comparison = folder / "comparison.json"
    return json.loads((comparison if comparison.is_file() else folder / "summary.json").read_text())


def test_several_checkpoints_are_compared(runs, tmp_path):
    rows = evaluated(str(tmp_path / "sweep"), tmp_path / "out")
    assert [row["checkpoint"] for row in rows] == ["0_seed=0", "1_seed=1", "2_seed=2"]
    alone = evaluated(str(runs[1]), tmp_path / "alone")
    for split in ("train", "val", "test", "all"):
        for error in ("energy_rmse", "energy_mae", "force_rmse", "force_mae", "stress_rmse"):
            assert rows[1][f"{split}/{error}"] == pytest.approx(alone[split][error], rel=1e-12)
    assert (tmp_path / "out" / "1_seed=1" / "predictions.extxyz").is_file()
    with (tmp_path / "out" / "comparison.csv").open() as file:
        assert float(list(csv.DictReader(file))[1]["val/force_mae"]) == alone["val"]["force_mae"]
    assert (tmp_path / "out" / "comparison.md").read_text().count("\n") == 5


def test_committee_is_evaluated_on_the_data_of_its_members(runs, tmp_path):
    files = [str(folder / "checkpoints" / "best.ckpt") for folder in runs[:2]]
    evaluated(files, tmp_path / "out", committee=True)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["checkpoint"] == files
    energies = []
    for number in range(2):
        evaluated(files[number], tmp_path / f"{number}")
        energies.append([a.get_potential_energy() for a in read(tmp_path / f"{number}" / "predictions.extxyz", ":")])
    frames = read(tmp_path / "out" / "predictions.extxyz", ":")
    np.testing.assert_allclose(
        [a.info["energy_uncertainty"] for a in frames], np.std(energies, axis=0, ddof=1), atol=1e-6
    )
    np.testing.assert_allclose([a.get_potential_energy() for a in frames], np.mean(energies, axis=0))
    with pytest.raises(InputError, match="at least two"):
        evaluated(files[0], tmp_path / "one", committee=True)


def test_other_draws_of_the_validation_structures_are_put_together(runs):
    for number, folder in enumerate(runs):
        change(folder, val_seed=number)
    checkpoints = [folder / "checkpoints" / "best.ckpt" for folder in runs]
    datasets = [trained_configuration(file).dataset for file in checkpoints]
    splits = shared_splits(datasets, checkpoints)
    own = load_splits(datasets[1], checkpoints[1])
    assert (len(splits.train), len(splits.val), len(splits.test)) == (11, 0, 1)
    assert {s.source for s in splits.train} == {s.source for s in own.train + own.val}
    assert len(shared_splits(datasets[:1], checkpoints[:1]).val) == 2


def test_known_structures_of_a_changed_file_are_counted_in_their_splits(runs, caplog):
    checkpoint = runs[0] / "checkpoints" / "best.ckpt"
    dataset = trained_configuration(checkpoint).dataset
    trained = load_splits(dataset, checkpoint)
    content = torch.load(checkpoint, weights_only=True)
    torch.save(content | {"split_identities": identities(trained)}, checkpoint)
    write(dataset.path, [labelled_atoms(5, seed=99), *read(dataset.path, ":")], format="extxyz")
    splits = shared_splits([dataset], [checkpoint])
    for name, n_new in (("train", 0), ("val", 0), ("test", 1)):
        before, now = ({s.energy for s in getattr(known, name)} for known in (trained, splits))
        assert before <= now
        assert len(now - before) == n_new
    assert "new ones in test" in caplog.text


def test_frames_without_forces_are_evaluated_though_not_trained_on_unasked(runs):
    checkpoints = [folder / "checkpoints" / "best.ckpt" for folder in runs]
    path = trained_configuration(checkpoints[0]).dataset.path
    frames = read(path, ":")
    frames[3].calc.results.pop("forces")
    write(path, frames, format="extxyz")
    open_settings = dict.fromkeys(("val_fraction", "test_fraction", "partial_labels"))
    settings = {"_target_": "sognet.data.from_files", "path": path} | open_settings
    assert len(load_splits(OmegaConf.create(settings), checkpoints[0]).test) == 12
    assert len(shared_splits([trained_configuration(checkpoints[0]).dataset], checkpoints[:1]).train) == 9
    fill_defaults(settings)
    assert settings["val_fraction"] == 0.1
    with pytest.raises(InputError, match=r"mine\.xyz, frame 3: no `forces`.*dataset\.partial_labels=true"):
        load_splits(OmegaConf.create(settings), checkpoints[0])
    change(runs[1], partial_labels=True)  # beside a run of an earlier version, which has no such setting
    assert shared_splits([trained_configuration(file).dataset for file in checkpoints[:2]], checkpoints[:2])


def test_charges_and_dipoles_that_a_run_was_trained_on_are_evaluated(runs, tmp_path):
    frames = [labelled_atoms(5 + i % 3, seed=i, pbc=False) for i in range(12)]
    for i, atoms in enumerate(frames):
        atoms.info["dipole"] = [0.1 * i, 0.0, 1.0]
    write(tmp_path / "mine.xyz", frames, format="extxyz")
    config = OmegaConf.load(runs[0] / "config.yaml")
    config.loss = {"targets": {"dipole": 1.0}}
    OmegaConf.save(config, runs[0] / "config.yaml")
    try:
        summary = evaluated(str(runs[0]), tmp_path / "out")
    finally:
        TARGETS.pop("dipole", None)
    model = load_model(runs[0], dtype="float64")
    found = [predict(a, model, properties=["dipole"]).results[0]["dipole"] - a.info["dipole"] for a in frames]
    assert summary["all"]["dipole_rmse"] == pytest.approx(1e3 * np.sqrt(np.square(found).mean()))


def test_data_that_are_gone_are_named_with_the_run_and_the_remedy(runs, tmp_path):
    (tmp_path / "mine.xyz").unlink()
    with pytest.raises(InputError, match=r"mine.xyz: no such file; .*best.ckpt was trained on it.*dataset=files"):
        evaluated(str(runs[0]), tmp_path / "out")


def test_other_data_must_be_named(runs, tmp_path):
    change(runs[2], seed=7)
    with pytest.raises(InputError, match=r"2_seed=2.*trained on different data \(dataset\.seed\)"):
        evaluated(str(tmp_path / "sweep"), tmp_path / "out")
    named = {"_target_": "sognet.data.from_files", "path": str(tmp_path / "mine.xyz"), "val_fraction": None}
    rows = evaluated([str(runs[0]), str(runs[2])], tmp_path / "out", dataset=named | {"test_fraction": None})
    assert len(rows) == 2
    OmegaConf.save({"dataset": "mine.xyz"}, runs[0] / "config.yaml")
    with pytest.raises(InputError, match="not a group"):
        evaluated(str(runs[0]), tmp_path / "out")


def test_total_charges_of_other_data_are_read_as_in_training():
    """A model trained on charges of another name would take all structures as neutral."""
    dataset = OmegaConf.create({"_target_": "sognet.data.from_files", "path": "a.xyz", "charge_key": "charge"})
    assert with_charge_key(dataset, "q_total", ["dataset=files"]).charge_key == "q_total"
    assert with_charge_key(dataset, "q_total", ["dataset=files", "dataset.charge_key=charge"]).charge_key == "charge"
    dimers = OmegaConf.create({"_target_": "sognet.data.dimers", "pair": "CC"})
    assert with_charge_key(dimers, "q_total", []) == dimers


def test_other_data_are_evaluated_with_their_charges(tmp_path):
    frames = [labelled_atoms(5 + i % 3, seed=i, pbc=False) for i in range(6)]
    for i, atoms in enumerate(frames):
        atoms.info["q_total"] = i - 2
    write(tmp_path / "other.xyz", frames, format="extxyz")
    checkpoint = saved_model(tmp_path / "a.ckpt", total_charge=True, charge_key="q_total")
    named = OmegaConf.to_container(OmegaConf.load(CONFIGURATION / "dataset" / "files.yaml"))
    named |= {"path": str(tmp_path / "other.xyz"), "test_fraction": None, "val_fraction": None}
    summary = evaluated(str(checkpoint), tmp_path / "out", dataset=named)
    found = predict(frames, load_model(checkpoint, dtype="float64")).energy
    errors = [(e - a.info["energy"]) / len(a) for e, a in zip(found, frames, strict=True)]
    assert summary["test"]["energy_rmse"] == pytest.approx(1e3 * np.sqrt(np.square(errors).mean()))
