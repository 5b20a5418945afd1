"""Pairs of ions and polar molecules from contact to where only their charges are felt, in vacuum.

Far apart in vacuum, two opposite ions are a good description only where the electron affinity of the one exceeds the
ionization energy of the other. Of common ions, NH₄⁺ with BF₄⁻ or PF₆⁻ stay whole charges by GFN2-xTB at all distances;
NH₄⁺NO₃⁻ nearly so. With Na⁺Cl⁻, or by GFN1-xTB, charge flows back and the self-consistent field often fails beyond 7 Å.
"""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.data import vdw_radii
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from sognet.data.datasets.generators.labelled_cache import labelled_set
from sognet.data.splits import Splits, split_off
from sognet.errors import InputError

CONTACT = 0.6
"""Nearest distance of two atoms over the sum of their van der Waals radii."""

TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
OCTAHEDRON = np.concatenate([np.eye(3), -np.eye(3)])
TRIANGLE = np.array([[np.cos(a), np.sin(a), 0.0] for a in 2 * np.pi / 3 * np.arange(3)])


def around(centre: str, others: str, length: float, corners: np.ndarray) -> Atoms:
    """An atom and its neighbours at the corners (n,3) of a regular body, at a distance in Å."""
    return Atoms([centre] + [others] * len(corners), np.concatenate([np.zeros((1, 3)), length * corners]))


MOLECULES = {
    "NH4+": (around("N", "H", 1.03, TETRAHEDRON), 1),
    "BF4-": (around("B", "F", 1.40, TETRAHEDRON), -1),
    "PF6-": (around("P", "F", 1.62, OCTAHEDRON), -1),
    "NO3-": (around("N", "O", 1.25, TRIANGLE), -1),
    "Cl-": (Atoms("Cl"), -1),
    "H2O": (molecule("H2O"), 0),
    "NH3": (molecule("NH3"), 0),
    "CH3CN": (molecule("CH3CN"), 0),
}
"""Rigid molecules and their charges (e)."""

PAIRS = (
    ("NH4+", "BF4-"),
    ("NH4+", "PF6-"),
    ("NH4+", "NO3-"),
    ("NH4+", "Cl-"),
    ("NH4+", "NH4+"),
    ("BF4-", "NO3-"),
    ("NH4+", "H2O"),
    ("BF4-", "H2O"),
    ("Cl-", "H2O"),
    ("H2O", "H2O"),
    ("NH3", "CH3CN"),
)


def ion_pairs(
    n_frames: int = 3000,
    largest_distance: float = 15.0,
    displacement: float = 0.03,
    method: str = "GFN2-xTB",
    workers: int | None = None,
    val_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
    val_seed: int | None = None,
    root: str | None = None,
) -> Splits:
    """Two molecules of a pair at random orientations and distances; made once, then read from the cache.

    Structures have the total charge, that of both molecules as `info["molecule_charges"]`, and the Mulliken charges
    of tight binding as `charges`. Where its self-consistent field does not converge, as with NH₄⁺Cl⁻ from about
    10 Å on, a structure is left out and counted in the log.

    Parameters
    ----------
    n_frames : structures, shared out among the pairs.
    largest_distance : Å between the centres; the smallest is that of contact.
    displacement : Å, standard deviation of the coordinates of molecules from their geometry.
    method : GFN1-xTB or GFN2-xTB.
    workers : processes; null: one for each core.
    val_fraction, test_fraction : of the structures, drawn at random.
    seed : of structures and split.
    val_seed : of another draw of the validation structures, with the same test structures.
    root : folder of the cache; by default the user's cache.

    Raises
    ------
    InputError : tblite is not installed, or a setting is unknown or out of range.
    """
    if n_frames < len(PAIRS) or not 8 <= largest_distance <= 50 or not 0 <= displacement <= 0.2:
        raise InputError(
            f"need n_frames of at least {len(PAIRS)}, a largest_distance of 8 to 50 Å and a displacement of 0 to 0.2 "
            f"Å, got {n_frames}, {largest_distance} and {displacement}"
        )
    settings = {
        "n_frames": n_frames,
        "largest_distance": largest_distance,
        "displacement": displacement,
        "seed": seed,
        "pairs": PAIRS,
        "contact": CONTACT,
    }

    def sample() -> Sequence[Atoms]:
        rng = np.random.default_rng(seed)
        return [pair(rng, *PAIRS[i % len(PAIRS)], largest_distance, displacement) for i in range(n_frames)]

    structures = labelled_set("ion_pairs", "pairs", sample, settings, method, workers, root)
    return Splits("ion_pairs", *split_off(structures, val_fraction, test_fraction, seed, val_seed))


def pair(rng: np.random.Generator, first: str, second: str, largest_distance: float, displacement: float) -> Atoms:
    """Two molecules at a distance that is uniform from contact on."""
    molecules = []
    for name in (first, second):
        atoms = MOLECULES[name][0].copy()
        atoms.positions -= atoms.positions.mean(0)
        atoms.positions = Rotation.random(random_state=rng).apply(atoms.positions)
        if len(atoms) > 1:
            atoms.positions += rng.normal(scale=displacement, size=atoms.positions.shape)
        molecules.append(atoms)
    one, other = molecules
    other.positions[:, 2] += rng.uniform(contact_distance(one, other), largest_distance)
    charges = [MOLECULES[name][1] for name in (first, second)]
    both = Atoms(one.numbers.tolist() + other.numbers.tolist(), np.concatenate([one.positions, other.positions]))
    both.info |= {"charge": sum(charges), "molecule_charges": charges, "pair": f"{first} {second}"}
    return both


def contact_distance(one: Atoms, other: Atoms, step: float = 0.05) -> float:
    """Å of a shift along z from which on no two atoms are nearer than at contact."""
    smallest = CONTACT * (vdw_radii[one.numbers][:, None] + vdw_radii[other.numbers])
    distance = 12.0
    while distance > 0:
        shift = np.array([0.0, 0.0, distance - step])
        if (cdist(one.positions, other.positions + shift) < smallest).any():
            break
        distance -= step
    return distance
