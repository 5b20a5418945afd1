"""What batching and checks need to know of structures; a prepared data set knows it without being read."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sognet.data.structure import Structure

TARGETS = ("energy", "forces", "stress")


@dataclass(frozen=True)
class Contents:
    """Sizes of structures, and which of them lack a reference value."""

    n_atoms: np.ndarray  # (n_structures,)
    labelled: dict[str, int]  # structures that have a target, by its name
    first_without: dict[str, str]  # source of the first structure without a target, for the targets that some lack

    @property
    def partial(self) -> list[str]:
        """Targets that some of the structures have and some have not."""
        return [t for t in TARGETS if 0 < self.labelled[t] < len(self.n_atoms)]


def contents(structures: Sequence[Structure]) -> Contents:
    """Contents of structures: counted, or as they were counted when the data set was prepared."""
    known = getattr(structures, "contents", None)
    return known if known is not None else counted(structures)


def counted(structures: Sequence[Structure]) -> Contents:
    """Look at every structure."""
    labelled = dict.fromkeys(TARGETS, 0)
    first_without: dict[str, str] = {}
    n_atoms = []
    for structure in structures:
        n_atoms.append(len(structure))
        for target in TARGETS:
            if getattr(structure, target) is None:
                first_without.setdefault(target, structure.source)
            else:
                labelled[target] += 1
    return Contents(np.array(n_atoms, dtype=np.int64), labelled, first_without)
