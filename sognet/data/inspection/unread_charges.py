"""Total charges that files hold under another name than the one that is read."""

from collections.abc import Iterator, Sequence
from numbers import Real

from sognet.data.structure import Structure

USUAL = frozenset({"charge", "totalcharge", "netcharge", "molecularcharge", "chargetotal", "qtot", "qtotal", "totalq"})
"""Names of the total charge that other programs and data sets use, without case and separators."""


def of_unread_charges(structures: Sequence[Structure]) -> Iterator[str]:
    """A sentence where all structures are taken as neutral, and a value that looks like their charge is not zero."""
    if any(s.charge != 0 for s in structures):
        return
    found: dict[str, list[str]] = {}
    for structure in structures:
        for name, value in structure.info.items():
            plain = "".join(c for c in str(name).lower() if c.isalnum())
            if plain in USUAL and isinstance(value, Real) and value != 0:
                found.setdefault(str(name), []).append(structure.source)
    for name, sources in found.items():
        yield (
            f"all structures are taken as neutral, but {len(sources)} have a `{name}` that is not zero ({sources[0]}): "
            f"dataset.charge_key={name} reads it as the total charge"
        )
