"""What in a data set looks like a mistake: units, signs, inconsistent or outlying values."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from ase import units
from ase.cell import Cell

from sognet.data.inspection.stress_checks import stress_warnings
from sognet.data.split_statistics import clipped_rms
from sognet.data.structure import Structure, n_structures
from sognet.data.usual_sizes import largest_usual

PLAUSIBLE_FORCE_RMS = (0.02, 10.0)  # eV/Å
PLAUSIBLE_BOND = (0.5, 1.5)  # nearest distance over the sum of covalent radii, median over structures
NET_FORCE = 0.02  # eV/Å per atom

STEP = (1e-3, 0.2)  # Å, largest displacement between two frames whose energies are compared with their forces
N_STEPS = 5
PLAUSIBLE_SLOPE = (0.7, 1.4)  # of energy differences over the work of the forces
CORRELATION = 0.5

SAME_CALCULATION = 0.01  # of the energies, by which a free energy in the same unit may differ
SMEARING = 5e-4  # eV/atom, of that difference from structure to structure

KCAL, HARTREE, BOHR = units.kcal / units.mol, units.Hartree, units.Bohr
SLOPES = {
    -1.0: "the forces have the wrong sign: they are gradients of the energy",
    1 / HARTREE: "energies in Hartree with forces in eV/Å",
    HARTREE / BOHR: "energies in eV with forces in Hartree/Bohr",
    1 / BOHR: "energies in Hartree with forces in Hartree/Bohr and positions in Å",
    1 / KCAL: "energies in kcal/mol with forces in eV/Å",
    KCAL: "energies in eV with forces in kcal/mol/Å",
    HARTREE / KCAL: "energies in kcal/mol with forces in Hartree/Å",
    BOHR: "energies in eV and forces in eV/Å with positions in Bohr",
    KCAL / HARTREE: "energies in Hartree with forces in kcal/mol/Å",
}
"""Energy differences over the work of the forces, and what mistake it comes from."""

ALL_ELECTRON = {1.0: "Hartree", 2.0: "Ry", HARTREE / KCAL: "kcal/mol", 2625.5: "kJ/mol"}
"""Numerical value of an energy in a unit over that in Hartree; eV is what is expected."""

ALL_ELECTRON_ERROR = 0.05  # relative, of that estimate


def sanity_warnings(structures: Sequence[Structure], nearest: Sequence[float]) -> Iterator[str]:
    """Sentences that name what was found, what it may come from and what to set.

    Parameters
    ----------
    structures : in the order of their files.
    nearest : of each structure with a pair of atoms nearby, the least distance over the sum of covalent radii.
    """
    yield from _energy_unit(structures)
    yield from _force_scale(structures)
    yield from _length_unit(nearest)
    yield from _zero_forces(structures)
    yield from _net_forces(structures)
    yield from _consistency(structures)
    yield from _free_energies(structures)
    yield from stress_warnings(structures)


def all_electron_energy(numbers: np.ndarray) -> float:
    """Total energy of isolated atoms in Hartree, by the statistical expansion in Z^(-1/3).

    J. Schwinger, Phys. Rev. A 24, 2353 (1981); good to 2 % from carbon on, to 8 % for hydrogen and helium.
    """
    z = np.asarray(numbers, dtype=float)
    return float(-(0.768745 * z ** (7 / 3) - z**2 / 2 + 0.269900 * z ** (5 / 3)).sum())


def _energy_unit(structures: Sequence[Structure]) -> Iterator[str]:
    ratios = [s.energy / all_electron_energy(s.numbers) for s in structures if s.energy is not None]
    if not ratios:
        return
    ratio = float(np.median(ratios))
    for expected, unit in ALL_ELECTRON.items():
        if abs(ratio / expected - 1) < ALL_ELECTRON_ERROR:
            yield (
                f"energies look like all-electron total energies in {unit}: they are {ratio:.4g} times the estimate in "
                f"Hartree, in eV it would be 27.2; set dataset.energy_unit={unit}"
            )


def _force_scale(structures: Sequence[Structure]) -> Iterator[str]:
    with_forces = [s.forces for s in structures if s.forces is not None]
    if not with_forces:
        return
    rms = clipped_rms(np.array([np.square(f).sum() for f in with_forces]), np.array([f.size for f in with_forces]))
    low, high = PLAUSIBLE_FORCE_RMS
    if rms == 0:
        yield "all forces are zero; set dataset.forces_key to the name of the forces in the file"
    elif rms > high:
        yield (
            f"forces are large, rms {rms:.3g} eV/Å, where up to a few are usual: kcal/mol/Å "
            f"(would be {rms * KCAL:.3g} eV/Å), or structures far from any that are visited? See dataset.force_unit"
        )
    elif rms < low:
        yield (
            f"forces are small, rms {rms:.3g} eV/Å: Hartree/Bohr (would be {rms * HARTREE / BOHR:.3g} eV/Å), or only "
            "relaxed structures? See dataset.force_unit"
        )


def _length_unit(nearest: Sequence[float]) -> Iterator[str]:
    if not len(nearest):
        return
    ratio = float(np.median(nearest))
    low, high = PLAUSIBLE_BOND
    if not low < ratio < high:
        guess = "Bohr" if ratio > high else "nm"
        yield (
            f"nearest atoms are {ratio:.2g} times the sum of their covalent radii apart (median): positions in "
            f"{guess}? See dataset.length_unit"
        )


def _zero_forces(structures: Sequence[Structure]) -> Iterator[str]:
    several = [s for s in structures if s.forces is not None and len(s) > 1]
    zero = [s for s in several if not s.forces.any()]
    if 0 < len(zero) < len(several):
        yield (
            f"all forces of {n_structures(len(zero))} are exactly zero ({zero[0].source}), which training takes as "
            "they are: values that are missing, or perfect crystals? Take out the former"
        )


def _net_forces(structures: Sequence[Structure]) -> Iterator[str]:
    with_forces = [s for s in structures if s.forces is not None]
    net = np.array([np.linalg.norm(s.forces.sum(0)) / len(s) for s in with_forces])
    if (net > NET_FORCE).any():
        worst = with_forces[int(net.argmax())].source
        yield (
            f"forces of {n_structures(int((net > NET_FORCE).sum()))} do not add up to zero, by up to {net.max():.3g} "
            f"eV/Å per atom ({worst}); a conservative model cannot follow them (an external field, fixed atoms, or "
            "columns that are no forces?)"
        )


def _consistency(structures: Sequence[Structure]) -> Iterator[str]:
    """Energy differences of successive frames against the work of their mean force."""
    pairs = [p for a, b in pairwise(structures) if (p := _difference_and_work(a, b)) is not None]
    if len(pairs) < N_STEPS:
        return
    steps = np.abs(np.array(pairs))  # those of outliers are named elsewhere
    usual = (steps <= [largest_usual(of_one) for of_one in steps.T]).all(axis=1)
    difference, work = np.array(pairs)[usual].T
    if not work.any() or not difference.any():
        yield "energies do not change between frames while the atoms move along the forces"
        return
    slope = float(difference @ work / (work @ work))
    correlation = float(difference @ work / np.sqrt((difference @ difference) * (work @ work)))
    low, high = PLAUSIBLE_SLOPE
    if abs(correlation) < CORRELATION:
        yield (
            f"energies and forces do not belong together: over {len(pairs)} small steps the change of the energy and "
            f"the work of the forces correlate with {correlation:.2f} only"
        )
    elif not low < slope < high:
        cause = min(SLOPES, key=lambda s: abs(np.log(abs(slope / s))) if slope * s > 0 else np.inf)
        likely = SLOPES[cause] if slope * cause > 0 and abs(np.log(slope / cause)) < 0.2 else "unknown units or signs"
        yield (
            f"energies and forces are inconsistent: over {len(pairs)} small steps the energy changes by {slope:.3g} "
            f"times the work of the forces, which should be 1 ({likely})"
        )


def _free_energies(structures: Sequence[Structure]) -> Iterator[str]:
    """Energies that are not those of which the forces are derivatives: with smearing, that is the free energy."""
    pairs = [(s.info.get("free_energy"), s.energy, len(s)) for s in structures if s.energy is not None]
    pairs = [pair for pair in pairs if isinstance(pair[0], int | float | np.number)]
    if len(pairs) < N_STEPS:
        return
    free, energy, size = np.array(pairs, dtype=float).T
    difference = free - energy
    of_one_calculation = np.median(np.abs(difference)) < SAME_CALCULATION * np.median(np.abs(energy))
    spread = float((difference / size).std())
    if of_one_calculation and spread > SMEARING:
        yield (
            f"energy and free_energy of the file differ by {1000 * (difference / size).mean():.3g} meV/atom, give or "
            f"take {1000 * spread:.2g}; forces are derivatives of the free energy: set dataset.energy_key=free_energy"
        )


def _difference_and_work(a: Structure, b: Structure) -> tuple[float, float] | None:
    """Change of the energy and work of the mean force from a frame to the next of the file, for small steps."""
    if any(s.energy is None or s.forces is None for s in (a, b)) or not np.array_equal(a.numbers, b.numbers):
        return None
    if a.source.rpartition(", frame ")[0] != b.source.rpartition(", frame ")[0] or not np.allclose(a.cell, b.cell):
        return None
    step = b.positions - a.positions
    if a.pbc.any():
        box = Cell(a.cell).complete().array
        turns = np.round(step @ np.linalg.inv(box)) * a.pbc
        step = step - turns @ box
    if not STEP[0] < np.abs(step).max() < STEP[1]:
        return None
    return b.energy - a.energy, -float(((a.forces + b.forces) / 2 * step).sum())
