"""Spread of the reference values of a data set, the unit of dimensionless loss weights and of the robust loss."""

from collections.abc import Sequence
from itertools import islice

import numpy as np

from sognet.data.reference_energy_fit import ReferenceEnergyFit
from sognet.data.structure import Structure
from sognet.data.usual_sizes import largest_usual
from sognet.targets import TARGETS, Target

SAMPLE = 2000
"""Structures from which spreads are taken at most, evenly spaced."""

NO_SPREAD = 1e-6
"""In eV, Å and e: values that differ by less are taken for equal."""


def label_spreads(structures: Sequence[Structure]) -> dict[str, float]:
    """Spread of each target by name, in its unit (eV/atom, eV/Å, eV/Å³), of targets that some structure has.

    The root mean square over structures, each with that of its own values; of energies per atom, without those of the
    elements by least squares, the standard deviation. No structure counts with more than the largest usual size, so
    that outliers do not make a unit of themselves. 1 where the values do not differ.
    """
    sample = structures[:: max(1, -(-len(structures) // SAMPLE))]
    of_elements = _energies_of_elements(sample)
    found = {}
    for name, target in TARGETS.items():
        labelled = [s for s in sample if target.reference(s) is not None]
        labelled = labelled or list(islice((s for s in structures if target.reference(s) is not None), SAMPLE))
        values = [_normalized(target, s, of_elements) for s in labelled]
        if not values:
            continue
        middle = np.median(np.stack(values), axis=0) if target.centred and not target.per_atom else 0.0
        sizes = np.array([np.sqrt(np.square(v - middle).mean()) for v in values])
        spread = float(np.sqrt(np.square(np.minimum(sizes, largest_usual(sizes))).mean()))
        found[name] = spread if spread > NO_SPREAD else 1.0
    return found


def _normalized(target: Target, structure: Structure, of_elements: np.ndarray) -> np.ndarray:
    values = np.asarray(target.reference(structure), dtype=float)
    if target.name == "energy":
        values = values - of_elements[structure.numbers].sum()
    values = values if target.per_atom else values[None]
    return target.normalized(values, np.full(len(values), len(structure)))


def _energies_of_elements(structures: Sequence[Structure]) -> np.ndarray:
    """Energies of the elements in eV, by atomic number."""
    fit = ReferenceEnergyFit()
    for structure in structures:
        if structure.energy is not None:
            fit.add(structure.numbers, structure.energy)
    return fit.energies_by_number()
