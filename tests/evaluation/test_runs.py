"""The table of runs: which settings it shows, and that its columns fit."""

import json
from io import StringIO
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from rich.console import Console

from sognet.errors import InputError
from sognet.evaluation.runs import differing, finished_runs, print_runs

LAYER = {"_target_": "sognet.long_range.power_law_convolution", "n_gaussians": 12, "exponent": 1.0, "tolerance": 1e-5}


def run(folder: Path, force_rmse: float, groups=None, given=(), **settings) -> None:
    folder.mkdir(parents=True)
    config = {"seed": 0, "model": {"n_latent": 1, "long_range": LAYER}, "optimizer": {"lr": 0.01}}
    config = OmegaConf.merge(config, OmegaConf.create(settings))
    if groups is not None:
        config.command = {"groups": {"dataset": "files", "optimizer": "adam"} | groups, "given": list(given)}
    OmegaConf.save(config, folder / "config.yaml")
    errors = {"force_rmse": force_rmse, "energy_rmse": 12345.6}
    summary = {"val": errors, "seconds": 4000.0, "kernel": [{"exponent": -0.61, "status": "found"}]}
    (folder / "summary.json").write_text(json.dumps(summary))


def table(*roots: Path, width: int = 80) -> str:
    stream = StringIO()
    print_runs(roots, Console(file=stream, width=width, force_terminal=True, color_system=None))
    return stream.getvalue()


NONE = {"model": {"long_range": {"_target_": None}}}


@pytest.mark.parametrize("saved", [True, False])
def test_a_group_is_one_setting(tmp_path, saved):
    run(tmp_path / "0", 30.0, {"model/long_range": "power_law"} if saved else None)
    run(tmp_path / "1", 20.0, {"model/long_range": "none"} if saved else None, **NONE)
    found = differing(finished_runs([tmp_path]))
    assert found == ["model/long_range"]
    printed = table(tmp_path)
    assert "model/long_range=none" in printed
    assert ("model/long_range=power_law\n" in printed.replace(" ", "\n")) == saved
    assert "n_gaussians" not in printed


def test_settings_that_the_command_line_names_stay_beside_their_group(tmp_path):
    for number, (option, rate) in enumerate([("adam", 0.01), ("soap", 0.01), ("soap", 0.02)]):
        folder = tmp_path / f"{number}"
        run(folder, 1.0, {"optimizer": option}, ["optimizer", "optimizer.lr"], optimizer={"lr": rate, option: 1})
    assert differing(finished_runs([tmp_path])) == ["optimizer", "optimizer.lr"]


def test_an_experiment_stands_for_what_it_sets(tmp_path):
    run(tmp_path / "0", 1.0, {"experiment": "water", "model/long_range": "none"}, seed=1, **NONE)
    run(tmp_path / "1", 1.0, {"experiment": "dimers", "model/long_range": "power_law"}, ["seed"], seed=2)
    assert differing(finished_runs([tmp_path])) == ["experiment", "seed"]


def test_columns_fit_on_a_terminal(tmp_path):
    for number in range(2):
        run(tmp_path / "2026-11-26_16-20-11" / f"{number}", 1.5, {}, seed=number, kernel_weight_decay=0.1 * number)
    printed = table(tmp_path)
    assert max(map(len, printed.splitlines()[1:])) <= 80
    assert "kernel_weight_decay=0.1" in printed
    assert "12346" in printed
    assert "1 h 7 min" in printed
    assert "e+0" not in printed
    assert "-0.61" in printed


def test_all_folders_are_shown_each_run_once(tmp_path):
    run(tmp_path / "a" / "0", 30.0)
    run(tmp_path / "b" / "0", 20.0, seed=1)
    printed = table(tmp_path / "a", tmp_path / "b", tmp_path)
    assert printed.index("b/0") < printed.index("a/0")
    assert printed.count("a/0") == 1
    with pytest.raises(InputError, match="nowhere"):
        finished_runs([tmp_path / "a", tmp_path / "nowhere"])


@pytest.mark.parametrize(
    ("first", "second", "name"),
    [
        ({"epochs": 5}, {"epochs": 10}, "epochs"),
        ({"time": "20min"}, {"time": "2h"}, "time"),
        ({"epochs": None}, {"epochs": 10}, "epochs"),
    ],
)
def test_how_long_runs_train_is_said_once(tmp_path, first, second, name):
    trainer = {"epochs": "max_epochs", "time": "max_time"}[name]
    for number, length in enumerate((first, second)):
        value = length[name] or 7
        given = [name if length[name] else f"trainer.{trainer}"]
        run(
            tmp_path / f"{number}",
            1.0,
            {},
            given,
            **length,
            trainer={"max_epochs": -1, "max_time": None, trainer: value},
        )
    runs = finished_runs([tmp_path])
    assert differing(runs) == [name]
    assert {r.settings[name] for r in runs} == {first[name] or 7, second[name]}
    assert "trainer." not in table(tmp_path)
