"""What energies and volumes say of the stress: energy differences over its work, and the bulk modulus it implies."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from sognet.data.structure import Structure

STRAIN = (1e-3, 0.1)
"""Relative change of the volume, or of the cell, between two structures that are compared."""

STEP = 0.2
"""Å, largest displacement beside that of the cell where the work of the forces is subtracted."""

PAIRS = 5
CORRELATION = 0.9

SAMPLES = 8
"""Degrees of freedom of the fit of a bulk modulus."""

CERTAINTY = 4.0
"""Bulk modulus over its standard error."""

CONDENSED = 0.01
"""eV/Å³ (1.6 GPa): a smaller bulk modulus is that of a gas, whose stress may fall or rise with the volume."""


def volume(structure: Structure) -> float:
    """Volume of the cell in Å³."""
    return abs(float(np.linalg.det(structure.cell)))


def energy_over_work(structures: Sequence[Structure]) -> float | None:
    """Energy differences over the work of the stress, 1 where both belong together; None: the data do not tell.

    Successive frames of the same atoms are compared first, less the work of the forces; without such frames, those of
    one composition and similar volume: dE/dV = tr(σ)/3.
    """
    labelled = [s for s in structures if s.energy is not None]
    steps = [p for a, b in pairwise(labelled) if (p := _step(a, b)) is not None]
    slope = _slope(steps)
    return slope if slope is not None else _slope(_differences_of_volume(labelled))


def bulk_modulus(structures: Sequence[Structure]) -> float | None:
    """Rise of the mean stress with the logarithm of the volume within a composition, eV/Å³; None: none that is certain.

    Positive in condensed matter: the pressure -tr(σ)/3 falls as the volume grows.
    """
    strain, stress, freedom = [], [], -1
    for members in _by_composition(structures):
        logarithms = np.array([np.log(volume(s)) for s in members])
        means = np.array([np.trace(s.stress) / 3 for s in members])
        near = np.abs(logarithms - np.median(logarithms)) < STRAIN[1]
        strain.append(logarithms[near] - logarithms[near].mean())
        stress.append(means[near] - means[near].mean())
        freedom += int(near.sum()) - 1
    if freedom < SAMPLES:
        return None
    x, y = np.concatenate(strain), np.concatenate(stress)
    if x @ x / freedom < STRAIN[0] ** 2:
        return None
    modulus = float(x @ y / (x @ x))
    rest = y - modulus * x
    error = float(np.sqrt(rest @ rest / freedom / (x @ x)))
    return modulus if abs(modulus) > max(CERTAINTY * error, CONDENSED) else None


def volumes_vary(structures: Sequence[Structure]) -> bool:
    """Whether two structures of one composition differ in volume."""
    by_composition = ([volume(s) for s in members] for members in _by_composition(structures))
    return any(max(volumes) > (1 + STRAIN[0]) * min(volumes) for volumes in by_composition)


def _by_composition(structures: Sequence[Structure]) -> list[list[Structure]]:
    found: defaultdict[bytes, list[Structure]] = defaultdict(list)
    for structure in structures:
        found[np.sort(structure.numbers).tobytes()].append(structure)
    return list(found.values())


def _step(a: Structure, b: Structure) -> tuple[float, float] | None:
    """Change of the energy less the work of the mean force, and work of the mean stress, from a frame to the next.

    Both by the trapezoidal rule: atoms move with the cell, the rest of their displacement is work of the forces.
    """
    if a.forces is None or b.forces is None or not np.array_equal(a.numbers, b.numbers):
        return None
    change = np.linalg.solve(a.cell, b.cell)  # (3, 3), of positions in rows
    if np.abs(change - np.eye(3)).max() > STRAIN[1]:
        return None
    strain = 2 * (change - np.eye(3)) @ np.linalg.inv(change + np.eye(3))
    fractional = b.positions @ np.linalg.inv(b.cell) - a.positions @ np.linalg.inv(a.cell)
    step = (fractional - np.round(fractional)) @ (a.cell + b.cell) / 2
    if np.abs(strain).max() < STRAIN[0] or np.abs(step).max() > STEP:
        return None
    of_forces = -float(((a.forces + b.forces) / 2 * step).sum())
    of_stress = float((volume(a) * a.stress + volume(b) * b.stress).ravel() @ strain.ravel()) / 2
    return b.energy - a.energy - of_forces, of_stress


def _differences_of_volume(structures: Sequence[Structure]) -> list[tuple[float, float]]:
    """Change of the energy, and work of the mean stress, between neighbours in volume of each composition."""
    found = []
    for members in _by_composition(structures):
        for a, b in pairwise(sorted(members, key=volume)):
            small, large = volume(a), volume(b)
            if STRAIN[0] < large / small - 1 < STRAIN[1]:
                mean = (np.trace(a.stress) + np.trace(b.stress)) / 6
                found.append((b.energy - a.energy, mean * (large - small)))
    return found


def _slope(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Difference over work by least squares; None where pairs are too few or do not belong together."""
    if len(pairs) < PAIRS:
        return None
    difference, work = np.array(pairs).T
    if not difference.any() or not work.any():
        return None
    correlation = float(difference @ work / np.sqrt((difference @ difference) * (work @ work)))
    return float(difference @ work / (work @ work)) if abs(correlation) > CORRELATION else None
