"""Numbers of a report."""

import pytest

from sognet.analysis.numbers import readable


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1234.5, "1234"), (0.61284, "0.613"), (99.96, "100"), (410.2, "410"), (-0.61, "-0.610"), (0.0, "0"), (7, "7"),
        (812345.6, "812346"), (1.5e-4, "0.000150"), (3e-9, "3.00e-09"), (float("nan"), "nan"), (None, "–"),
    ],
)  # fmt: skip
def test_numbers_have_three_digits_and_no_exponent_where_it_can_be_helped(value, expected):
    assert readable(value) == expected
