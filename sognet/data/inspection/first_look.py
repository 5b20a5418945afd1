"""What training says of its data before it begins: units, outliers, repeated structures and rare elements."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from ase.data import chemical_symbols

from sognet.data.inspection.outliers import find_outliers, sentences
from sognet.data.inspection.repeated import Duplicate, duplicates
from sognet.data.inspection.sanity_checks import sanity_warnings
from sognet.data.inspection.unread_charges import of_unread_charges
from sognet.data.splits import Splits
from sognet.data.structure import Structure, n_structures

CONFLICT = 1e-3  # eV/atom, beyond which the energies of equal structures contradict each other
SOURCE_ORDER = 8  # digits to which frame numbers are filled up for sorting

RARE = 10  # structures with an element in a training split below which it is rare
FEW = 10  # structures in a training split below which all of it is little


def what_stands_out(splits: Splits) -> list[str]:
    """Sentences on splits that are held in memory, without what needs distances between atoms; see overview.inspect."""
    in_order = in_order_of_files(splits)
    return [
        *sanity_warnings(in_order, []),
        *of_unread_charges(in_order),
        *sentences(find_outliers(in_order)),
        *of_repeated(list(duplicates(splits))),
        *of_training_split(splits.train),
    ]


def in_order_of_files(splits: Splits) -> list[Structure]:
    """Structures of all splits in the order of their files and of the frames in them."""

    def place(structure: Structure) -> tuple[str, str]:
        file, _, number = structure.source.rpartition(", frame ")
        return file, number.zfill(SOURCE_ORDER)

    return sorted((s for _, structures in splits for s in structures), key=place)


def of_repeated(repeated: Sequence[Duplicate]) -> Iterator[str]:
    """Sentences on structures that are in two splits, and on equal ones with different energies."""
    across = [d for d in repeated if d.splits[0] != d.splits[1]]
    if across:
        first = across[0]
        one, other = (f"{source} ({split})" for source, split in zip(first.sources, first.splits, strict=True))
        yield (
            f"{n_structures(len(across))} in two splits, which makes errors look smaller than those of unseen "
            f"structures: {one} is {other}"
        )
    contradicting = [d for d in repeated if (d.energy_difference or 0.0) > CONFLICT]
    if contradicting:
        worst = max(contradicting, key=lambda d: d.energy_difference)
        yield (
            f"{len(contradicting)} repeated structures have another energy than the first, by up to "
            f"{worst.energy_difference:.3g} eV/atom: {worst.sources[0]} and {worst.sources[1]}"
        )


def of_training_split(train: Sequence[Structure]) -> Iterator[str]:
    """Sentences on elements, and on whole splits, that are too few to learn from."""
    if 0 < len(train) < FEW:
        yield f"{n_structures(len(train))} to train on: errors on others may be large"
        return
    holding: Counter[int] = Counter()
    n_atoms: Counter[int] = Counter()
    for structure in train:
        numbers, counts = np.unique(structure.numbers, return_counts=True)
        holding.update(numbers.tolist())
        n_atoms.update(dict(zip(numbers.tolist(), counts.tolist(), strict=True)))
    rare = [z for z in sorted(holding) if holding[z] < RARE]
    if rare:
        named = ", ".join(f"{chemical_symbols[z]} ({n_atoms[z]} atoms in {n_structures(holding[z])})" for z in rare)
        yield f"rare elements in the training split: {named}; errors where they are may be large"
