"""Frames on which a committee disagrees: which of them are collected, and where a simulation stops."""

from dataclasses import replace

import numpy as np
import pytest
from ase.io import read
from omegaconf import OmegaConf
from simulations import NVE, OFFERED, where_installed
from structures import random_atoms, small_model

from sognet import SOGNetCalculator
from sognet.data import Keys, read_structures
from sognet.errors import InputError
from sognet.simulation.engines import find_engine
from sognet.simulation.restart import RestartState
from sognet.simulation.run import Simulation
from sognet.simulation.settings import SimulationSettings, UncertaintySettings

EVERY_ENGINE = ["ase", *(where_installed(engine) for engine in OFFERED)]
UNCERTAIN = "uncertain.extxyz"


def made(folder, uncertainty: UncertaintySettings, engine: str = "ase", **settings) -> Simulation:
    folder.mkdir(parents=True, exist_ok=True)
    committee = SOGNetCalculator([small_model(seed=1), small_model(seed=2)], dtype="float64")
    asked = replace(NVE, every=1, timestep=6.0, uncertainty=uncertainty, **settings)
    return Simulation(random_atoms(), committee, asked, folder, find_engine(engine))


def finished(*args, **kwargs) -> tuple[str, list[float]]:
    """What was said at the end, and the largest uncertainty at each step."""
    simulation = made(*args, **kwargs)
    simulation.begin()
    return simulation.run(), simulation.columns["largest force uncertainty (eV/Å)"]


@pytest.fixture(scope="module")
def uncertainties(tmp_path_factory) -> list[float]:
    return finished(tmp_path_factory.mktemp("watched"), UncertaintySettings())[1]


def expected_steps(uncertainties: list[float], limit: float, min_steps: int) -> list[int]:
    steps: list[int] = []
    for step, value in enumerate(uncertainties):
        if value > limit and (not steps or step - steps[-1] >= min_steps):
            steps.append(step)
    return steps


@pytest.mark.parametrize("engine", EVERY_ENGINE)
def test_frames_above_the_limit_are_collected_some_steps_apart(engine, uncertainties, tmp_path):
    limit = float(np.sort(uncertainties)[9:11].mean())
    said, _ = finished(tmp_path, UncertaintySettings(collect=limit, min_steps=3), engine)
    wanted = expected_steps(uncertainties, limit, 3)
    assert 1 < len(wanted) < 7
    frames = read(tmp_path / UNCERTAIN, ":")
    assert [frame.info["step"] for frame in frames] == wanted
    for frame in frames:
        assert frame.info["largest_force_uncertainty"] == pytest.approx(uncertainties[frame.info["step"]], rel=1e-5)
    assert f"{len(wanted)} uncertain frames in uncertain.extxyz, to be labelled" in said
    trajectory = read(tmp_path / "trajectory.extxyz", ":")
    np.testing.assert_array_equal(frames[-1].positions, trajectory[wanted[-1]].positions)


def test_no_more_frames_are_collected_than_wanted(uncertainties, tmp_path):
    said, _ = finished(tmp_path / "some", UncertaintySettings(collect=0.0, min_steps=1, max_frames=4))
    assert [frame.info["step"] for frame in read(tmp_path / "some" / UNCERTAIN, ":")] == [0, 1, 2, 3]
    assert "4 uncertain frames in uncertain.extxyz, to be labelled, as many as" in said
    said, _ = finished(tmp_path / "none", UncertaintySettings(collect=max(uncertainties)))
    assert not (tmp_path / "none" / UNCERTAIN).exists()
    assert "0 uncertain frames. Everything" in said


def test_collected_frames_are_structures_for_labelling(tmp_path):
    finished(tmp_path, UncertaintySettings(collect=0.0, min_steps=10))
    structures = read_structures(tmp_path / UNCERTAIN, Keys())
    assert [len(s) for s in structures] == [12, 12, 12]
    assert all(s.pbc.all() for s in structures)


@pytest.mark.parametrize("engine", EVERY_ENGINE)
def test_a_killed_simulation_collects_what_an_uninterrupted_one_does(engine, uncertainties, tmp_path):
    settings = UncertaintySettings(collect=float(np.sort(uncertainties)[9:11].mean()), min_steps=3, max_frames=5)
    finished(tmp_path / "whole", settings, engine)
    killed = made(tmp_path / "killed", settings, engine)
    killed.begin()
    for _ in range(14):  # past the restart file of step 10
        killed._advance()
        killed._record()
        if killed.step == 10:
            killed._save()
    assert len(read(tmp_path / "killed" / UNCERTAIN, ":")) > 1
    again = made(tmp_path / "killed", settings, engine)
    again.continue_from(RestartState.read(tmp_path / "killed"))
    again.run()
    ours, theirs = (read(tmp_path / name / UNCERTAIN, ":") for name in ("killed", "whole"))
    assert [frame.info["step"] for frame in ours] == [frame.info["step"] for frame in theirs]
    np.testing.assert_allclose(ours[-1].positions, theirs[-1].positions, atol=1e-6)


def test_a_kill_before_the_first_restart_file_with_frames_leaves_none_of_them(tmp_path):
    killed = made(tmp_path, UncertaintySettings(collect=1e9))
    killed.begin()
    (tmp_path / UNCERTAIN).write_text("from a step that is lost")
    again = made(tmp_path, UncertaintySettings(collect=1e9))
    again.continue_from(RestartState.read(tmp_path))
    assert not (tmp_path / UNCERTAIN).exists()


@pytest.mark.parametrize("engine", EVERY_ENGINE)
def test_an_uncertain_committee_stops_with_the_frame(engine, uncertainties, tmp_path):
    stop = uncertainties[0] * 1.0001
    step = next(number for number, value in enumerate(uncertainties) if value > stop)
    simulation = made(tmp_path, UncertaintySettings(stop=stop, collect=0.5 * stop, min_steps=1000), engine)
    simulation.begin()
    with pytest.raises(InputError, match=r"uncertain by .* above simulation\.uncertainty\.stop.*uncertain\.extxyz"):
        simulation.run()
    assert [frame.info["step"] for frame in read(tmp_path / UNCERTAIN, ":")] == [0, step]


def test_relaxations_collect_as_well(tmp_path):
    relaxing = UncertaintySettings(collect=0.0, min_steps=2)
    finished(tmp_path, relaxing, ensemble="relax", steps=5, fmax=1e-6)
    assert [frame.info["step"] for frame in read(tmp_path / UNCERTAIN, ":")] == [0, 2, 4]


def test_one_model_has_no_uncertainty(tmp_path):
    for limit in ({"stop": 0.1}, {"collect": 0.1}):
        with pytest.raises(InputError, match="needs a committee"):
            Simulation(
                random_atoms(),
                SOGNetCalculator(small_model()),
                replace(NVE, uncertainty=UncertaintySettings(**limit)),
                tmp_path,
            )


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"stop": -1.0}, r"simulation\.uncertainty\.stop must be at least 0, got -1\.0"),
        ({"min_steps": 0}, r"simulation\.uncertainty\.min_steps must be at least 1"),
        ({"max_frames": 0}, r"simulation\.uncertainty\.max_frames must be at least 1"),
        ({"stop": 0.1, "collect": 0.2}, r"stop=0\.1 must be above simulation\.uncertainty\.collect=0\.2"),
        ({"colect": 0.2}, r"no simulation\.uncertainty\.colect; there are stop, collect"),
        ({"collect": "much"}, r"simulation\.uncertainty\.collect=much: Input should be a valid number"),
    ],
)
def test_limits_that_mean_nothing_are_refused(values, said):
    with pytest.raises(InputError, match=said):
        SimulationSettings.of(OmegaConf.to_container(OmegaConf.create({"uncertainty": values})))


def test_frames_are_some_steps_apart_across_a_restart(tmp_path):
    """The last frame is of step 8, and the restart file of step 10: the next one is of step 12."""
    settings = UncertaintySettings(collect=0.0, min_steps=4)
    finished(tmp_path, settings, steps=10)
    again = made(tmp_path, settings)
    again.continue_from(RestartState.read(tmp_path))
    again.run()
    assert [frame.info["step"] for frame in read(tmp_path / UNCERTAIN, ":")] == [0, 4, 8, 12, 16, 20]
