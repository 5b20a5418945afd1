"""Learning curves whose continuation is known."""

import numpy as np
import pytest

from sognet.analysis.learning_curve import STEEPEST, fitted_outlook, outlook


def curve(error, n=300):
    seconds = np.linspace(1.0, 600.0, n)
    return np.stack([seconds, error(seconds)], 1)


@pytest.mark.parametrize("exponent", [0.1, 0.2])
def test_the_continuation_of_a_power_law_is_in_the_range(exponent):
    found = fitted_outlook(curve(lambda t: 500 * t**-exponent), "force_rmse")
    assert found.exponent == pytest.approx(exponent)
    assert found.fall == pytest.approx(1 - 2**-exponent)
    assert found.falling
    low, high = found.tenfold
    assert low < 500 * 6000**-exponent < high


def test_the_flat_end_of_a_schedule_does_not_count():
    def annealed(t):
        return 500 * np.minimum(t, 400.0) ** -0.2

    assert fitted_outlook(curve(annealed), "force_rmse").falling


def test_a_curve_that_has_levelled_off_does_not_fall():
    found = fitted_outlook(curve(lambda t: 30 + 500 * np.exp(-t / 10)), "force_rmse")
    assert not found.falling
    assert found.tenfold == pytest.approx((30, 30), rel=0.01)


def test_a_steep_start_is_not_believed():
    found = fitted_outlook(curve(lambda t: 5000 / t), "force_rmse").tenfold
    assert found == pytest.approx([5000 / 600 * 10**-b for b in STEEPEST], rel=0.1)


def test_noise_gives_no_promise():
    rng = np.random.default_rng(0)
    found = fitted_outlook(curve(lambda t: 40 * np.exp(0.05 * rng.normal(size=t.shape))), "force_rmse")
    assert found.tenfold[0] > 0.75 * 40


def test_too_few_validations_say_nothing(tmp_path):
    assert fitted_outlook(curve(lambda t: 500 / t, n=15), "force_rmse") is None
    file = tmp_path / "metrics.csv"
    assert outlook(file) is None
    rows = [f"{t},,{500 / t**0.2}\n{t},{t}," for t in range(1, 100)]  # validation and epoch have rows of their own
    file.write_text("\n".join(["epoch,seconds,val/energy_rmse", *rows, ",,"]))
    assert outlook(file).target == "energy_rmse"
    assert outlook(file).exponent == pytest.approx(0.2)
