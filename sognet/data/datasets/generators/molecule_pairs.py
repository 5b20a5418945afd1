"""Pairs of ions and polar molecules from contact to where only their charges are felt, in vacuum."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.data import vdw_radii
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from sognet.data.datasets.generators.labelled_cache import METHODS, labelled_set
from sognet.data.splits import Splits, split_off
from sognet.errors import InputError

CONTACT = 0.6
"""Nearest distance of two atoms over the sum of their van der Waals radii."""

AMMONIUM = Atoms("NH4", 1.03 / np.sqrt(3) * np.array([[0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]))

MOLECULES = {
    "Na+": (Atoms("Na"), 1),
    "Cl-": (Atoms("Cl"), -1),
    "NH4+": (AMMONIUM, 1),
    "F-": (Atoms("F"), -1),
    "H2O": (molecule("H2O"), 0),
    "NH3": (molecule("NH3"), 0),
    "CH3CN": (molecule("CH3CN"), 0),
}
"""Rigid molecules and their charges (e)."""

PAIRS = (
    ("Na+", "Cl-"),
    ("NH4+", "Cl-"),
    ("NH4+", "F-"),
    ("Na+", "NH4+"),
    ("Na+", "H2O"),
    ("NH4+", "H2O"),
    ("Cl-", "H2O"),
    ("H2O", "H2O"),
    ("NH3", "CH3CN"),
    ("Na+", "CH3CN"),
)


def ion_pairs(
    n_frames: int = 3000,
    largest_distance: float = 15.0,
    displacement: float = 0.03,
    method: str = "GFN1-xTB",
    workers: int | None = None,
    val_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
    val_seed: int | None = None,
    root: str | None = None,
) -> Splits:
    """Two molecules of a pair at random orientations and distances; made once, then read from the cache.

    Structures have the total charge, that of both molecules as `info["molecule_charges"]`, and the Mulliken charges
    of tight binding as `charges`. Where its self-consistent field does not converge, as with some ions far apart, a
    structure is left out and counted in the log.

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
    if method not in METHODS:
        raise InputError(f"dataset.method must be {' or '.join(METHODS)}, got {method!r}")
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
