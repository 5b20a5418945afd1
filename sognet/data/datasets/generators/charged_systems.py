"""Charge transfer over distances that no local environment spans, after T. W. Ko, J. A. Finkler, S. Goedecker and
J. Behler, Nat. Commun. 12, 398 (2021).

Na₉Cl₈⁺ and what is left of it without the atom at one end: at the other end an atom moves along a line, and where its
energy has its minimum depends on the far atom. C₁₀H₂ and C₁₀H₃⁺: a proton at one end changes all bonds of the chain.
The structures are sampled as there, the labels are those of tight binding in place of DFT.
"""

from collections.abc import Callable, Sequence

import numpy as np
from ase import Atoms

from sognet.data.datasets.generators.labelled_cache import labelled_set
from sognet.data.splits import Splits, split_off
from sognet.errors import InputError

CLUSTER = (
    "NaClNaClClNaClNaClNaClNaNaClNaClNa",
    np.array([
        [-4.259, -1.063, -1.063], [-1.677, -1.362, -1.362], [0.842, -1.322, -1.322], [3.749, -1.323, -1.323],
        [-4.243, 1.475, -1.169], [-1.749, 1.348, -1.207], [0.848, 1.375, -1.417], [3.252, 1.283, -1.533],
        [-4.243, -1.169, 1.475], [-1.749, -1.207, 1.348], [0.848, -1.417, 1.375], [3.252, -1.533, 1.283],
        [-4.100, 1.366, 1.366], [-1.481, 1.488, 1.488], [1.026, 1.266, 1.266], [3.926, 1.019, 1.019],
        [5.758, -0.225, -0.225],
    ]),
)  # fmt: skip
"""Elements and positions (17,3) in Å of Na₉Cl₈⁺ at its minimum by GFN1-xTB."""

MOVED, DIRECTION = 0, -np.ones(3) / np.sqrt(3)
"""Atom of the cluster that moves, and the line on which it leaves it."""

PATH = (-0.4, 0.8)
"""Å from the minimum of Na₉Cl₈⁺ along the line."""

CHAIN = np.array([0.021, 1.2322, 2.5871, 3.8127, 5.1557, 6.3843, 7.7273, 8.9529, 10.3078, 11.519])
PROTONATED = np.array([-0.0018, 1.2941, 2.5849, 3.8473, 5.1518, 6.4031, 7.7216, 8.9609, 10.3024, 11.5194])
"""Å along the axis, of the carbon atoms at the minima of C₁₀H₂ and C₁₀H₃⁺ by GFN1-xTB."""

HYDROGENS = np.array([[0, 0, -1.0358], [0, 0, 12.5758]])
HYDROGENS_OF_PROTONATED = np.array([[0, 0.9161, -0.5812], [0, -0.9161, -0.5812], [0, 0, 12.5789]])


def charge_transfer(
    system: str = "nacl_clusters",
    removed: str = "atom",
    n_frames: int = 2000,
    displacement: float = 0.05,
    method: str = "GFN1-xTB",
    workers: int | None = None,
    val_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
    val_seed: int | None = None,
    root: str | None = None,
) -> Splits:
    """Clusters or chains whose charges depend on what is at their other end; made once, then read from the cache.

    Structures have their total charge, and the Mulliken charges of tight binding as `charges`.

    Parameters
    ----------
    system : "nacl_clusters" or "carbon_chain".
    removed : what the smaller cluster lacks: an "atom", as published, so that both have the charge +1, or an "ion", so
        that it is neutral.
    n_frames : structures, about half of them of each of the two.
    displacement : Å, standard deviation of all coordinates from those at the minimum or on the path.
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
    samples: dict[str, Callable[[np.random.Generator], Atoms]] = {
        "nacl_clusters": lambda rng: cluster(rng, displacement, removed),
        "carbon_chain": lambda rng: chain(rng, displacement),
    }
    choices = {"system": (system, tuple(samples)), "removed": (removed, ("atom", "ion"))}
    for name, (given, known) in choices.items():
        if given not in known:
            raise InputError(f"dataset.{name} must be {' or '.join(known)}, got {given!r}")
    if n_frames < 2 or not 0 <= displacement <= 0.3:
        raise InputError(
            f"need n_frames of at least 2 and a displacement of 0 to 0.3 Å, got {n_frames}, {displacement}"
        )
    geometry = [CLUSTER[1].tolist(), PATH] if system == "nacl_clusters" else [CHAIN.tolist(), PROTONATED.tolist()]
    settings = {"n_frames": n_frames, "displacement": displacement, "seed": seed, "geometry": geometry}
    part = f"{system}_{removed}" if system == "nacl_clusters" else system

    def sample() -> Sequence[Atoms]:
        rng = np.random.default_rng(seed)
        return [samples[system](rng) for _ in range(n_frames)]

    structures = labelled_set("charge_transfer", part, sample, settings, method, workers, root)
    return Splits(f"charge_transfer-{part}", *split_off(structures, val_fraction, test_fraction, seed, val_seed))


def path_cluster(complete: bool, distance: float, removed: str = "atom") -> Atoms:
    """A cluster at the minimum of Na₉Cl₈⁺, but for the atom that moves.

    Parameters
    ----------
    complete : with the atom at the far end, or without it.
    distance : Å of the atom that moves, from its minimum along the line.
    removed : "atom" or "ion".
    """
    symbols, positions = CLUSTER
    atoms = Atoms(symbols, positions=positions)
    atoms.positions[MOVED] += distance * DIRECTION
    if not complete:
        del atoms[-1]
    atoms.info["charge"] = 1 if complete or removed == "atom" else 0
    return atoms


def cluster(rng: np.random.Generator, displacement: float, removed: str) -> Atoms:
    """A cluster around the minimum or, with the same probability, around a point of the path."""
    complete, moved, distance = rng.random() < 0.5, rng.random() < 0.5, rng.uniform(*PATH)
    atoms = path_cluster(complete, distance if moved else 0.0, removed)
    atoms.positions += rng.normal(scale=displacement, size=atoms.positions.shape)
    return atoms


def chain(rng: np.random.Generator, displacement: float) -> Atoms:
    """C₁₀H₂ or C₁₀H₃⁺ around its minimum."""
    protonated = rng.random() < 0.5
    carbons, hydrogens = (PROTONATED, HYDROGENS_OF_PROTONATED) if protonated else (CHAIN, HYDROGENS)
    positions = np.concatenate([carbons[:, None] * [0, 0, 1], hydrogens])
    atoms = Atoms(f"C10H{len(hydrogens)}", positions=positions, info={"charge": int(protonated)})
    atoms.positions += rng.normal(scale=displacement, size=positions.shape)
    return atoms
