"""Committees whose members and spread are known."""

import logging

import numpy as np
import pytest
from scipy.stats import t
from structures import labelled_atoms, small_model

from sognet.analysis import kernel_inspection
from sognet.analysis.decay_uncertainty import DeterminedDecay
from sognet.analysis.kernel_inspection import cancellation, combined, decays_within, inspected_structures, law, sentence
from sognet.data import Keys, Splits, Structure
from sognet.long_range.decay import Boxes


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


def structures(n, n_atoms=27) -> list[Structure]:
    frames = [labelled_atoms(n_atoms, cell=15 * np.eye(3), seed=seed) for seed in range(n)]
    return [Structure.from_atoms(atoms, Keys(), str(number)) for number, atoms in enumerate(frames)]


BOXES = Boxes(15.0, True)


def test_what_a_report_says_has_its_time():
    model, some = small_model(), structures(3)
    assert [d.n_structures for d in decays_within(model, some, BOXES, 60.0)] == [3]
    assert decays_within(model, some, BOXES, 1e-6) == []


def test_a_model_that_stands_still_costs_a_share_of_the_time(monkeypatch):
    """The first structure says whether the others can be afforded."""
    asked = []

    def slow(model, structure, widths, elements, seconds):
        asked.append(seconds)
        raise TimeoutError

    monkeypatch.setattr(kernel_inspection, "force_columns", slow)
    assert decays_within(small_model(), structures(4), BOXES, 8.0) == []
    assert asked == [2.0]


@pytest.mark.parametrize("error", [RuntimeError("no derivative"), KeyError("pos")])
def test_a_model_that_cannot_be_looked_into_does_not_break_a_report(monkeypatch, caplog, error):
    def broken(*_):
        raise error

    monkeypatch.setattr(kernel_inspection, "force_columns", broken)
    with caplog.at_level(logging.WARNING):
        assert decays_within(small_model(), structures(3), BOXES, 5.0) == []
    assert type(error).__name__ in caplog.text
    monkeypatch.undo()
    assert decays_within(small_model(), structures(2), BOXES, 5.0) == []  # which determine nothing


def test_structures_are_held_out_ones_evenly_spaced_within_a_number_of_atoms():
    known = structures(10, 8)
    splits = Splits("made", train=known[:4], val=known[4:7], test=known[7:])
    assert [s.source for s in inspected_structures(splits, 2)] == ["7", "6"]
    assert len(inspected_structures(splits, 24)) == 6
    assert len(inspected_structures(splits, 24, atoms=33)) == 4
    few = Splits("made", train=known[:4], val=known[4:6])
    assert [s.source for s in inspected_structures(few)] == ["4", "5", "0", "1", "2", "3"]
