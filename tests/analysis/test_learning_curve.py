"""Learning curves whose continuation is known."""

import numpy as np
import pytest

from sognet.analysis.learning_curve import fitted_outlook, outlook


def curve(error, n=300):
    seconds = np.linspace(1.0, 600.0, n)
    return np.stack([seconds, error(seconds)], 1)


@pytest.mark.parametrize("exponent", [0.2, 0.5])
def test_a_power_law_goes_on(exponent):
    found = fitted_outlook(curve(lambda t: 500 * t**-exponent), "force_rmse")
    expected = 500 * 6000**-exponent
    assert found.tenfold == pytest.approx((expected, expected), rel=0.01)
    assert found.fall == pytest.approx(1 - 1.5**-exponent, rel=0.02)
    assert found.falling


def test_a_curve_that_has_levelled_off_does_not_fall():
    found = fitted_outlook(curve(lambda t: 30 + 500 * np.exp(-t / 10)), "force_rmse")
    assert not found.falling
    assert found.tenfold[1] == pytest.approx(30, rel=0.05)


def test_noise_does_not_count_as_a_rise():
    rng = np.random.default_rng(0)
    found = fitted_outlook(curve(lambda t: 40 * np.exp(0.3 * rng.normal(size=t.shape))), "force_rmse")
    assert found.fall >= 0
    assert found.tenfold[0] <= found.tenfold[1]


def test_too_few_validations_say_nothing(tmp_path):
    assert fitted_outlook(curve(lambda t: 500 / t, n=5), "force_rmse") is None
    file = tmp_path / "metrics.csv"
    assert outlook(file) is None
    rows = [f"{t},{500 / t**0.5}" for t in range(1, 100)]
    file.write_text("\n".join(["seconds,val/energy_rmse", *rows, ","]))
    assert outlook(file).target == "energy_rmse"
    assert outlook(file).tenfold[1] == pytest.approx(500 / 990**0.5, rel=0.02)
