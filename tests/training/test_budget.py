"""Lengths of a run, as people write them."""

import pytest

from sognet.errors import InputError
from sognet.training.budget import seconds_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20min", 1200), ("2h", 7200), ("90s", 90), ("1h30min", 5400), ("1.5 h", 5400), ("2 d", 172800),
        ("00:20:00", 1200), ("00:00:20:00", 1200), ("20:00", 1200), ("1-12:00:00", 129600), ("1-0", 86400),
        ("90 seconds", 90), ("3 hours", 10800), ({"minutes": 20}, 1200),
    ],
)  # fmt: skip
def test_times(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["20", 90, "soon", "20 parsecs", "1:2:3:4:5", "", "0min"])
def test_what_is_no_time_is_refused_by_name(text):
    with pytest.raises(InputError, match=f"^time={text}: "):
        seconds_of(text)
