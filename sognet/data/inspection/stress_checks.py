"""Stress against the scale of solids, and against what energies of different volumes say: dE/dV = tr(σ)/3."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from ase import units

from sognet.data.structure import Structure

LARGE = 0.6  # eV/Å³ (100 GPa), rms of a component that is beyond most bulk moduli
STRAIN = (1e-3, 0.1)  # relative change of the volume between two structures that are compared
PAIRS = 5
CORRELATION = 0.9
PLAUSIBLE = (0.6, 1.6)  # of energy differences over the work of the stress

KBAR, GPA = 0.1 * units.GPa, units.GPa


def stress_warnings(structures: Sequence[Structure]) -> Iterator[str]:
    """Sentences that name what is wrong with the stress of periodic structures, and what to set."""
    labelled = [s for s in structures if s.stress is not None and s.pbc.all()]
    if not labelled:
        return
    asymmetric = [s for s in labelled if not np.allclose(s.stress, s.stress.T, rtol=1e-3, atol=1e-4)]
    if asymmetric:
        yield f"the stress of {len(asymmetric)} structures is not symmetric ({asymmetric[0].source})"
    rms = float(np.sqrt(np.mean([np.square(s.stress).mean() for s in labelled])))
    causes = {
        "dataset.stress_unit=kbar": KBAR,
        "dataset.stress_unit=GPa": GPA,
        "dataset.virial_key": 1 / float(np.median([abs(np.linalg.det(s.cell)) for s in labelled])),
    }
    slope = _slope(labelled)
    low, high = PLAUSIBLE
    if slope is not None and not low < abs(slope) < high:
        name = min(causes, key=lambda c: abs(np.log(abs(slope) / causes[c])))
        likely = f"; set {name}" if abs(np.log(abs(slope) / causes[name])) < np.log(2) else "; see dataset.stress_unit"
        natural = -1 if name == "dataset.virial_key" else 1
        sign = ", and dataset.stress_sign=-1" if slope * natural < 0 else ""
        yield (
            f"stress and energies are inconsistent: between volumes the energy changes by {slope:.3g} times the work "
            f"of the stress, which should be 1{likely}{sign}"
        )
    elif slope is not None and slope < 0:
        yield (
            "the stress has the wrong sign: the energy falls with the volume where the stress says that it rises; set "
            "dataset.stress_sign=-1"
        )
    elif rms > LARGE:
        choices = ", ".join(f"{name} ({factor * rms:.3g} eV/Å³)" for name, factor in causes.items())
        yield (
            f"stress is large, rms {rms:.3g} eV/Å³ or {rms / GPA:.3g} GPa, where 0.001 to 0.1 eV/Å³ are usual: another "
            f"unit or a virial? With {choices}"
        )


def _slope(structures: Sequence[Structure]) -> float | None:
    """Energy differences over the work of the mean stress between structures of one composition and similar volume;
    None where there are too few or they do not belong together.
    """
    by_composition: defaultdict[bytes, list[Structure]] = defaultdict(list)
    for structure in structures:
        if structure.energy is not None:
            by_composition[np.sort(structure.numbers).tobytes()].append(structure)
    found = []
    for members in by_composition.values():
        sorted_by_volume = sorted((abs(float(np.linalg.det(s.cell))), k) for k, s in enumerate(members))
        for (small, i), (large, j) in pairwise(sorted_by_volume):
            if STRAIN[0] < large / small - 1 < STRAIN[1]:
                mean = (np.trace(members[i].stress) + np.trace(members[j].stress)) / 6
                found.append((members[j].energy - members[i].energy, mean * (large - small)))
    if len(found) < PAIRS:
        return None
    difference, work = np.array(found).T
    if not difference.any() or not work.any():
        return None
    correlation = float(difference @ work / np.sqrt((difference @ difference) * (work @ work)))
    return float(difference @ work / (work @ work)) if abs(correlation) > CORRELATION else None
