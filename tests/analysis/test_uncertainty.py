"""Calibration of uncertainties whose relation to the error is known."""

import numpy as np
import pytest
from scipy.stats import norm, spearmanr
from structures import labelled_atoms

from sognet.analysis.figures import calibration_figure
from sognet.analysis.predictions import Prediction
from sognet.analysis.uncertainty import binned, calibration, energy_pairs, force_pairs
from sognet.data import Keys, Structure

SCALE = 2.5


@pytest.fixture
def gaussian():
    """Uncertainties over a decade and errors that are Gaussian and 2.5 times as wide."""
    rng = np.random.default_rng(0)
    uncertainty = 10 ** rng.uniform(-1, 0, 20_000)
    return uncertainty, SCALE * uncertainty * rng.normal(size=20_000)


def committee_of(n_structures: int, scale: float) -> list[Prediction]:
    """Predictions of twelve atoms with errors `scale` times as wide as the uncertainties."""
    rng = np.random.default_rng(1)
    predictions = []
    for number in range(n_structures):
        structure = Structure.from_atoms(labelled_atoms(12, seed=number), Keys(), "test")
        wide = 10 ** rng.uniform(-1, 0)
        uncertainties = wide * 10 ** rng.uniform(-0.5, 0.5, 12)
        predictions.append(
            Prediction(
                structure=structure,
                energy=structure.energy + scale * wide * rng.normal(),
                energy_short_range=0.0,
                energy_long_range=0.0,
                latent=np.zeros((12, 0)),
                forces=structure.forces + scale * uncertainties[:, None] * rng.normal(size=(12, 3)),
                energy_uncertainty=wide,
                forces_uncertainty=uncertainties,
            )
        )
    return predictions


def test_scale_and_correlation_of_gaussian_errors(gaussian):
    uncertainty, error = gaussian
    found = calibration(uncertainty, np.abs(error))
    assert found.scale == pytest.approx(SCALE, rel=0.02)
    mean = np.sqrt(2 / np.pi)  # of |z|
    expected = mean * uncertainty.std() / np.sqrt(np.square(uncertainty).mean() - (mean * uncertainty.mean()) ** 2)
    assert found.correlation == pytest.approx(expected, abs=0.015)
    assert found.rank_correlation == pytest.approx(spearmanr(uncertainty, np.abs(error)).statistic)
    assert found.rms_error == pytest.approx(SCALE * found.rms_uncertainty, rel=0.03)


def test_likelihoods_are_those_of_gaussians(gaussian):
    uncertainty, error = gaussian
    found = calibration(uncertainty, np.abs(error))
    assert found.negative_log_likelihood == pytest.approx(-norm.logpdf(error, scale=uncertainty).mean())
    scaled = [-norm.logpdf(error, scale=a * found.scale * uncertainty).mean() for a in (0.98, 1.0, 1.02)]
    assert found.scaled_negative_log_likelihood == pytest.approx(scaled[1])
    assert scaled[1] == min(scaled)


def test_force_errors_count_by_component():
    predictions = committee_of(800, SCALE)
    found = calibration(*force_pairs(predictions))
    assert found.n == 800 * 12
    assert found.scale == pytest.approx(SCALE, rel=0.02)
    errors = 1e3 * np.concatenate([p.forces - p.structure.forces for p in predictions])
    uncertainties = 1e3 * np.concatenate([p.forces_uncertainty for p in predictions])
    expected = -norm.logpdf(errors, scale=uncertainties[:, None]).mean()
    assert found.negative_log_likelihood == pytest.approx(expected)


def test_energies_count_per_atom():
    predictions = committee_of(800, SCALE)
    found = calibration(*energy_pairs(predictions))
    assert found.scale == pytest.approx(SCALE, rel=0.1)
    assert found.rms_uncertainty == pytest.approx(
        1e3 * np.sqrt(np.mean([p.energy_uncertainty**2 for p in predictions])) / 12
    )


def test_bins_hold_equally_many_points_and_lie_on_the_line(gaussian):
    uncertainty, error = gaussian
    points = binned(uncertainty, np.abs(error))
    assert points.shape == (20, 2)
    assert (np.diff(points[:, 0]) > 0).all()
    np.testing.assert_allclose(points[:, 1] / points[:, 0], SCALE, rtol=0.1)
    assert np.square(points).mean(0) == pytest.approx([np.square(uncertainty).mean(), np.square(error).mean()])
    assert len(binned(uncertainty[:35], error[:35])) == 3


def test_members_that_agree_are_left_out():
    found = calibration(np.array([0.0, 1.0, 2.0, 0.0]), np.array([0.0, 1.0, 2.0, 3.0]))
    assert (found.n, found.n_agreed, found.scale, found.correlation) == (2, 2, 1.0, pytest.approx(1.0))
    assert calibration(np.zeros(5), np.ones(5)) is None
    assert calibration(np.ones(1), np.ones(1)) is None
    assert binned(np.zeros(5), np.ones(5)).shape == (0, 2)
    assert calibration(np.ones(5), np.ones(5)).correlation is None


def test_figure_shows_the_bins_and_the_scale():
    predictions = {"train": committee_of(100, 1.0), "test": committee_of(200, SCALE)}
    figure = calibration_figure(predictions)
    for axes, pairs in zip(figure.axes, (energy_pairs, force_pairs), strict=True):
        lines = {line.get_label(): line for line in axes.get_lines()}
        for split, members in predictions.items():
            np.testing.assert_allclose(lines[split].get_xydata(), binned(*pairs(members)))
        scale = calibration(*pairs(predictions["test"])).scale
        assert f"{scale:.2g} × uncertainty" in lines
        assert axes.get_xscale() == axes.get_yscale() == "log"


def test_figure_of_a_committee_without_errors():
    perfect = committee_of(3, 0.0)
    assert calibration(*force_pairs(perfect)).scaled_negative_log_likelihood is None
    for prediction in perfect:
        prediction.structure.energy = None
    assert calibration(*energy_pairs(perfect)) is None
    calibration_figure({"test": perfect}).canvas.draw()
