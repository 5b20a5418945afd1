"""Frames whose energy or forces stand out from the others of their composition, by medians, which they do not move."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from ase import units

from sognet.data.reference_energy_fit import ENERGY_AT_LEAST, ENOUGH, SPREADS, ReferenceEnergyFit
from sognet.data.structure import Structure, n_structures

FORCE_SPREADS = 10.0  # times the median deviation of the logarithm that a largest force may be away
FORCE_RATIO = 10.0  # a force is no outlier below this multiple of the median of the largest forces
FORCE_AT_LEAST = 1.0  # eV/Å
SHOWN = 5  # frames that a sentence names

UNITS = {units.mol / units.kcal: "kcal/mol/Å", units.Hartree / units.Bohr: "eV/Å among others in Hartree/Bohr"}
"""How many times as large forces in another unit are."""

SAME_UNIT = 1.25  # factor by which the median of such ratios may be off


@dataclass(frozen=True)
class Outlier:
    """A frame whose `value` (eV/atom from the others of its composition, or its largest force in eV/Å) is beyond the
    `limit`; `times`: its root mean square force over the median of those of the others.
    """

    source: str
    quantity: str  # energy or force
    value: float
    limit: float
    times: float | None = None


def find_outliers(structures: Sequence[Structure]) -> list[Outlier]:
    """Outlying energies, then outlying forces, the furthest first."""
    return sorted(_energies(structures), key=lambda o: -abs(o.value)) + sorted(
        _forces(structures), key=lambda o: -o.value
    )


def sentences(found: Sequence[Outlier]) -> Iterator[str]:
    """One sentence for energies and one for forces, with the frames."""
    energies = [o for o in found if o.quantity == "energy"]
    forces = [o for o in found if o.quantity == "force"]
    if energies:
        limit = min(o.limit for o in energies)
        yield (
            f"energies of {n_structures(len(energies))} are more than {limit:.2g} eV/atom away from those of the "
            "others of their composition (failed calculations, or another level of theory?), the furthest "
            + _named(energies, "eV/atom")
        )
    if forces:
        yield (
            f"the largest force of {n_structures(len(forces))} stands out from those of the others of their "
            f"composition ({_cause(forces)}): " + _named(forces, "eV/Å")
        )


def _named(found: Sequence[Outlier], unit: str) -> str:
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(f"{abs(o.value):.3g} {unit} ({o.source})" for o in found[:SHOWN]) + more


def _cause(forces: Sequence[Outlier]) -> str:
    """What several outlying forces may come from."""
    ratio = float(np.median([o.times for o in forces]))
    for factor, unit in UNITS.items():
        if len(forces) > 1 and max(ratio / factor, factor / ratio) < SAME_UNIT:
            return f"about {ratio:.3g} times as large as usual: in {unit}?"
    return "failed calculations, or atoms too close?"


def _groups(structures: Sequence[Structure]) -> list[list[int]]:
    """Structures of one composition together; those of rare ones, below ENOUGH, in a group of their own."""
    by_composition: defaultdict[bytes, list[int]] = defaultdict(list)
    for k, structure in enumerate(structures):
        by_composition[np.sort(structure.numbers).tobytes()].append(k)
    groups = [members for members in by_composition.values() if len(members) >= ENOUGH]
    rare = [k for members in by_composition.values() if len(members) < ENOUGH for k in members]
    return groups + [rare] * bool(rare)


def _energies(structures: Sequence[Structure]) -> Iterator[Outlier]:
    labelled = [s for s in structures if s.energy is not None]
    fit = ReferenceEnergyFit()
    for s in labelled:
        fit.add(s.numbers, s.energy)
    if not labelled:
        return
    table = fit.energies_by_number()
    left = np.array([(s.energy - table[s.numbers].sum()) / len(s) for s in labelled])
    for members in _groups(labelled):
        deviation = left[members] - np.median(left[members])
        limit = max(ENERGY_AT_LEAST, SPREADS * float(np.median(np.abs(deviation))))
        for k in np.flatnonzero(np.abs(deviation) > limit):
            yield Outlier(labelled[members[k]].source, "energy", float(deviation[k]), limit)


def _forces(structures: Sequence[Structure]) -> Iterator[Outlier]:
    labelled = [s for s in structures if s.forces is not None]
    largest = np.array([np.linalg.norm(s.forces, axis=1).max() for s in labelled])
    sizes = np.array([np.square(s.forces).mean() ** 0.5 for s in labelled])
    for members in _groups(labelled):
        of_group = largest[members]
        moving = of_group[of_group > 0]
        if len(moving) < ENOUGH:
            continue
        spread = float(np.median(np.abs(np.log(moving / np.median(moving)))))
        ratio = max(FORCE_RATIO, float(np.exp(min(FORCE_SPREADS * spread, 50.0))))
        limit = max(FORCE_AT_LEAST, ratio * float(np.median(moving)))
        for k in np.flatnonzero(of_group > limit):
            times = float(sizes[members[k]] / np.median(sizes[members][of_group > 0]))
            yield Outlier(labelled[members[k]].source, "force", float(of_group[k]), limit, times)
