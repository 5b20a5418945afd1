"""What batching and checks need to know of structures; a prepared data set knows it without being read."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sognet.data.structure import Structure
from sognet.targets import TARGETS


@dataclass(frozen=True)
class Contents:
    """Sizes of structures, and how many of them have which reference values."""

    n_atoms: np.ndarray  # (n_structures,)
    labelled: dict[str, int]  # structures that have a target, by its name
    first_without: dict[str, str]  # source of the first structure without a target, for the targets that some lack

    @property
    def partial(self) -> list[str]:
        """Targets that some of the structures have and some have not."""
        return [t for t in TARGETS if 0 < self.count(t) < len(self.n_atoms)]

    def count(self, target: str) -> int:
        """Structures that have a target; a data set that was prepared without it has none."""
        return self.labelled.get(target, 0)

    def share(self, target: str) -> float:
        """Part of the structures that have a target."""
        return self.count(target) / max(1, len(self.n_atoms))

    def __str__(self) -> str:
        """For instance `40 structures: energy of all, forces of 38, stress of 20`."""
        total = len(self.n_atoms)
        of = {t: "all" if self.count(t) == total else str(self.count(t)) for t in TARGETS if self.count(t)}
        return f"{total} structures: {', '.join(f'{t} of {n}' for t, n in of.items()) or 'no reference values'}"


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
        for name, target in TARGETS.items():
            if target.reference(structure) is None:
                first_without.setdefault(name, structure.source)
            else:
                labelled[name] += 1
    return Contents(np.array(n_atoms, dtype=np.int64), labelled, first_without)
