"""Numbers as people write them."""

import math


def readable(value: float | None, digits: int = 3) -> str:
    """A number with as many significant digits, without an exponent between 0.0001 and 10 million; – for None.

    >>> readable(1234.5), readable(0.61284), readable(-0.0)
    ('1234', '0.613', '0')
    """
    if value is None:
        return "–"
    if isinstance(value, int) or not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    exponent = math.floor(math.log10(abs(rounded)))
    if not -5 < exponent < 7:
        return f"{value:.{digits - 1}e}"
    if exponent >= digits:
        return f"{value:.0f}"
    return f"{rounded:.{max(0, digits - 1 - exponent)}f}"
