"""Configuration and package fit together."""

import json
import runpy
from dataclasses import replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from sognet.cli.configuration import CONFIGURATION, nearest, page
from sognet.data import Statistics
from sognet.errors import InputError
from sognet.model.build import build_model
from sognet.simulation.settings import SimulationSettings
from sognet.training.configuration_checks import check

GROUPS = sorted(
    (str(file.parent.relative_to(CONFIGURATION)), file.stem)
    for file in CONFIGURATION.rglob("*.yaml")
    if file.parent != CONFIGURATION
)
FOUND = Statistics(["Na", "Cl"], {"Na": -1.0, "Cl": -2.0}, isolated_energies={"Na": -0.5}, force_rms=0.5)


def composed(*overrides: str):
    with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        return compose("train", [*overrides, "folder=somewhere"])


OWN = {
    "model/short_range": ["model.short_range._target_=own_models.Radial", "model.short_range.cutoff=4"],
    "model/baseline": ["model.baseline._target_=own_models.Repulsive"],
    "model/long_range": ["model.long_range._target_=own_models.Yukawa"],
    "dataset": ["dataset._target_=own_models.own_set", "+dataset.path=mine.xyz"],
}
"""What `custom` needs."""


@pytest.mark.parametrize(("group", "option"), GROUPS)
def test_every_option_of_every_group_composes(group, option):
    own = [*OWN.get(group, ()), "trust=[own_models]"] if option == "custom" else []
    added = group == "callbacks" and option != "default"  # to the default ones, which save checkpoints
    if group == "simulation":
        with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
            simulation = compose("simulate", [f"simulation={option}", "folder=somewhere"]).simulation
        assert SimulationSettings.of(OmegaConf.to_container(simulation)).ensemble == option
        return
    if group == "calculator":
        with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
            assert "_target_" in list(compose("label", [f"calculator={option}", "folder=somewhere"]).calculator)
        return
    config = composed(f"{group}=[default,{option}]" if added else f"{group}={option}", *own)
    check(config)
    OmegaConf.to_container(config, resolve=True)


@pytest.mark.parametrize("option", ["limit", "one_batch", "profiler"])
def test_debugging_is_short_whatever_the_experiment(option):
    config = composed("experiment=water", "batch=doubling", "trainer.max_time=00:01:00:00", f"debug={option}")
    assert not config.batch.stages
    assert config.trainer.max_epochs <= 200
    assert config.name == "debug"


@pytest.mark.parametrize("option", sorted(f.stem for f in (Path(CONFIGURATION) / "experiment").glob("*.yaml")))
@pytest.mark.parametrize("long_range", ["power_law", "log_spaced", "none"])
def test_every_experiment_builds_its_model(option, long_range):
    config = composed(f"experiment={option}", f"model/long_range={long_range}")
    model = build_model(config.model, FOUND)
    assert (model.long_range is None) == (long_range == "none")
    assert instantiate(config.loss).forces > 0
    assert instantiate(config.optimizer)(model.parameters()).param_groups


def test_reference_energies_are_given_fitted_or_of_isolated_atoms():
    def energies(setting: str) -> dict[str, float]:
        return build_model(composed(f"model.reference_energies={setting}").model, FOUND).reference_energies

    assert energies("null") == FOUND.reference_energies
    assert energies("{Na: -7.0}") == {"Na": -7.0}
    with pytest.raises(InputError, match="single atom of Cl"):
        energies("isolated")


def test_number_of_neighbours_is_given_or_counted():
    given = build_model(composed("model=published", "model.short_range.n_neighbors=7").model, FOUND)
    counted = build_model(
        composed("model=published", "model.short_range.n_neighbors=null").model, replace(FOUND, average_neighbors=31.5)
    )
    with pytest.raises(InputError, match="n_neighbors"):
        build_model(composed("model=published", "model.short_range.n_neighbors=null").model, FOUND)
    assert (given.short_range.n_neighbors, counted.short_range.n_neighbors) == (7, 31.5)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("trainer.max_epoch=3", {"trainer.max_epoch": "trainer.max_epochs"}),
        ("max_epochs=3", {"max_epochs": "trainer.max_epochs"}),
        ("optimzer=lbfgs", {"optimzer": "optimizer"}),
        ("model.n_gaussians=6", {"model.n_gaussians": "model.long_range.n_gaussians"}),
        ("dataset.pair=CC", {}),
        ("+model.short_range.widths=[1]", {}),
        ("module.kernel_lr_factor=2", {}),
    ],
)
def test_the_nearest_name_is_offered(typed, meant):
    own = ["model.short_range._target_=mine.Mine"]
    assert nearest([*own, typed]) == meant


def test_the_page_of_the_configuration_is_up_to_date():
    """Otherwise: sognet configuration > docs/configuration.md."""
    assert (CONFIGURATION.parent / "docs" / "configuration.md").read_text() == page() + "\n"


def test_the_page_of_experiments_is_the_one_that_its_script_writes():
    """Otherwise: python experiments/overview.py."""
    experiments = CONFIGURATION.parent / "experiments"
    overview = runpy.run_path(str(experiments / "overview.py"))
    rows = json.loads((experiments / "results.json").read_text())
    assert (experiments / "README.md").read_text() == overview["page_of"](rows)
    assert {row["folder"] for row in rows.values()} <= {path.parent.name for path in experiments.glob("*/README.md")}
