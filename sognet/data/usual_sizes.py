"""What sizes of labels are usual in a data set, so that a few wrong ones do not decide its statistics."""

from collections.abc import Sequence

import numpy as np

from sognet.data.structure import Structure

QUANTILE = 0.9
"""Share of the structures that is taken for usual."""

CLIP = 3.0
"""Times the largest size of that share, beyond which a size stands out."""


def largest_usual(sizes: np.ndarray) -> float:
    """Limit beyond which sizes (n,), none negative, stand out; infinite where hardly any differs from zero.

    One of two sizes or more may stand out, and a tenth of many, however large they are.
    """
    usual = float(np.quantile(sizes, QUANTILE, method="lower")) if len(sizes) else 0.0
    return CLIP * usual if usual > 0 else np.inf


def with_usual_forces(structures: Sequence[Structure]) -> list[Structure]:
    """Structures without those whose forces stand out; those without forces are kept."""
    structures = list(structures)
    sizes = {k: np.square(s.forces).mean() ** 0.5 for k, s in enumerate(structures) if s.forces is not None}
    limit = largest_usual(np.array(list(sizes.values())))
    return [s for k, s in enumerate(structures) if sizes.get(k, 0.0) <= limit]
