"""Committees whose members and spread are known."""

import numpy as np
import pytest
from scipy.stats import t

from sognet.analysis.decay_uncertainty import DeterminedDecay
from sognet.analysis.kernel_inspection import cancellation, combined, law, sentence


def member(exponent, own=0.0, status="found"):
    measured = {"strength": 1.0, "learned_exponent": exponent, "beyond_short_range": 5.0, "error": 0.1}
    return DeterminedDecay(status, 8, exponent, own, 5.0, 12.0, **measured)


def test_the_interval_of_a_committee_covers_the_mean_of_its_population():
    rng, covered = np.random.default_rng(0), 0
    for _ in range(400):
        found = combined([member(e) for e in rng.normal(1.0, 0.1, 4)])
        covered += abs(found.exponent - 1.0) < found.exponent_uncertainty
    assert covered / 400 == pytest.approx(0.95, abs=0.035)


def test_the_intervals_of_the_members_and_their_spread_add_in_squares():
    found = combined([member(e, own=0.3) for e in (0.9, 1.0, 1.1)])
    assert found.exponent == pytest.approx(1.0)
    assert found.exponent_uncertainty == pytest.approx(np.hypot(0.3, t.ppf(0.975, 2) * 0.1 / np.sqrt(3)))


def test_the_majority_says_what_is_known():
    assert combined([member(1.0), member(1.0, status="none"), member(1.0, status="none")]).status == "none"


def test_what_is_read():
    assert law(member(1.048, 0.063)) == "r^(-1.05 ± 0.06)"
    assert law(member(2.4, 0.31)) == "r^(-2.4 ± 0.3)"
    assert sentence(member(1.05, 0.06), 5.0).startswith("r^(-1.05 ± 0.06) between 5.0 and 12.0 Å (95 %)")
    assert "no long range: nothing beyond 5.0 Å" in sentence(member(1.0, status="none"), 5.0)
    assert "not determined by these data" in sentence(member(1.0, status="undetermined"), 5.0)
    balance = {"energy_variation": 4.2, "energy_correlation": -0.97, "energy_cancelled": 0.96}
    assert "the kernel fills what the short range leaves" in cancellation(balance)
    assert "fills" not in cancellation(balance | {"energy_cancelled": 0.1})
