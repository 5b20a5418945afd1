"""Structures with reference values, checked when they are read."""

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import chemical_symbols
from ase.geometry.minkowski_reduction import minkowski_reduce
from ase.stress import voigt_6_to_full_3x3_stress
from vesin import NeighborList

from sognet.errors import InputError
from sognet.periodicity import has_stress
from sognet.targets import COMMON, further_targets

if TYPE_CHECKING:
    from sognet.data.baseline_labels import BaselineLabels

REQUIRED = ("energy", "forces")
"""Targets that some structure of a file must have, unless the file is read without them."""

CLOSEST = 0.1
"""Atoms nearer than this (Å) are taken for a mistake in the file."""

ISOLATED = 8.0
"""A single atom whose images are at least so far away (Å) is an isolated atom: beyond the nearest distance in any
crystal of one atom per cell, within the boxes in which plane-wave programs compute atoms."""


STRESS_ORDERS = {"voigt": [0, 1, 2, 3, 4, 5], "vasp": [0, 1, 2, 4, 5, 3]}
"""Places of xx, yy, zz, yz, xz and xy among six values."""


@dataclass(frozen=True)
class Keys:
    """Names of the reference values in the user's files; None where a value is not to be read.

    Structures may lack some of them; a file without any energies or forces under these names is an error. The stress of
    a structure that has a virial W is -W/V. `stress_order` is that of stresses and virials of six values: `voigt`
    (xx yy zz yz xz xy) or `vasp` (xx yy zz xy yz xz).
    """

    energy: str | None = "energy"
    forces: str | None = "forces"
    stress: str | None = "stress"
    charge: str | None = "charge"
    virial: str | None = None
    stress_order: str = "voigt"

    def __post_init__(self) -> None:
        if self.stress_order not in STRESS_ORDERS:
            raise InputError(f"dataset.stress_order must be {' or '.join(STRESS_ORDERS)}, got {self.stress_order!r}")


@dataclass
class Structure:
    """Atoms in a cell, with what the reference calculation gave.

    Units Å, eV, eV/Å, e; stress in eV/Å³ with ASE's sign. `source` says where it came from, for error messages.
    """

    numbers: np.ndarray  # (N,)
    positions: np.ndarray  # (N, 3)
    cell: np.ndarray  # (3, 3), lattice vectors in rows
    pbc: np.ndarray  # (3,) bool
    source: str
    energy: float | None = None
    forces: np.ndarray | None = None  # (N, 3)
    stress: np.ndarray | None = None  # (3, 3)
    charge: float = 0.0
    info: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    further: dict[str, np.ndarray] = field(default_factory=dict)  # values of further targets, by name
    baselines: dict[str, "BaselineLabels"] = field(default_factory=dict, repr=False)  # by the baseline's identity

    @classmethod
    def from_atoms(cls, atoms: Atoms, keys: Keys, source: str, partial: bool = False) -> "Structure":
        """Take over an ASE structure.

        A left-handed cell is taken as it is: no energy, force or stress depends on the order of the lattice vectors.

        Parameters
        ----------
        atoms : what to take over.
        keys : names of the reference values.
        source : where it came from, for error messages.
        partial : whether the energy or the forces may be missing, though not all reference values.

        Raises
        ------
        InputError : names the source and the key where a value is missing, not finite or of the wrong shape, where
            atoms or their images overlap, or where a periodic cell has no volume.
        """
        _check_geometry(atoms, source)
        energy = _value(atoms, keys.energy, (), source)
        stress = _tensor(atoms, keys.stress, keys.stress_order, source)
        virial = _tensor(atoms, keys.virial, keys.stress_order, source)
        if virial is not None:
            volume = atoms.cell.volume
            stress = -virial / volume if volume > 0 else None
        charge = _value(atoms, keys.charge, (), source)
        further = {}
        for target in further_targets():
            found = (_value(atoms, key, target.values_shape(len(atoms)), source) for key in target.keys)
            if (value := next((v for v in found if v is not None), None)) is not None:
                further[target.name] = value
        structure = cls(
            numbers=atoms.numbers.copy(),
            positions=np.array(atoms.positions, order="C"),
            cell=np.array(atoms.cell.array, order="C"),
            pbc=atoms.pbc.copy(),
            source=source,
            energy=None if energy is None else float(energy),
            forces=_value(atoms, keys.forces, (len(atoms), 3), source),
            stress=stress,
            charge=0.0 if charge is None else float(charge),
            info=dict(atoms.info) | _other_results(atoms),
            arrays={k: v for k, v in atoms.arrays.items() if k not in ("numbers", "positions")},
            further=further,
        )
        lacking = [n for n in REQUIRED if getattr(keys, n) is not None and structure.value(n) is None]
        unlabelled = structure.stress is None and not further and structure.energy is None and structure.forces is None
        if lacking and (unlabelled or not partial):
            raise InputError(structure.without(lacking[0], keys))
        return structure

    @property
    def has_stress(self) -> bool:
        """Whether a stress is defined: a periodic direction, and a cell with a volume."""
        return has_stress(self.cell, self.pbc)

    def value(self, target: str) -> float | np.ndarray | None:
        """Reference value of a target by its name; None where the structure lacks it."""
        return getattr(self, target) if target in COMMON else self.further.get(target)

    def without(self, target: str, keys: Keys) -> str:
        """What to say of a structure that lacks a reference value: source, key, what it has instead, and remedy."""
        named = {getattr(keys, name) for name in COMMON if self.value(name) is not None}
        present = sorted({*self.info, *self.arrays, *named})
        return (
            f"{self.source}: no `{getattr(keys, target)}`; it has {', '.join(present) or 'no reference values'}. "
            f"Set dataset.{target}_key to the name of the {target} in your file, or to null to do without"
        )

    def to_atoms(self) -> Atoms:
        """ASE structure; reference energy, forces and stress, where present, as results of its calculator."""
        atoms = Atoms(numbers=self.numbers, positions=self.positions, cell=self.cell, pbc=self.pbc)
        results = {"energy": self.energy, "forces": self.forces, "stress": self.stress}
        if any(v is not None for v in results.values()):
            atoms.calc = SinglePointCalculator(atoms, **{k: v for k, v in results.items() if v is not None})
        return atoms

    def __len__(self) -> int:
        return len(self.numbers)


def unknown_elements(structure: "Structure", species: Collection[str]) -> list[str]:
    """Chemical symbols of a structure that are not among those that a model knows."""
    return sorted({chemical_symbols[z] for z in np.unique(structure.numbers)} - set(species))


def n_structures(n: int) -> str:
    """A number of structures in words."""
    return "1 structure" if n == 1 else f"{n} structures"


def is_isolated_atom(structure: Structure) -> bool:
    """Whether a structure is one atom without periodic images nearby; the primitive cell of a crystal is not."""
    if len(structure) != 1:
        return False
    repeated = structure.cell[structure.pbc]
    if not len(repeated):
        return True
    reduced, _ = minkowski_reduce(structure.cell, structure.pbc)
    return bool(np.linalg.norm(reduced[structure.pbc], axis=1).min() >= ISOLATED)


def _other_results(atoms: Atoms) -> dict[str, Any]:
    """Results of a reference calculation that are not read as targets, a dipole for instance."""
    results = atoms.calc.results if atoms.calc is not None else {}
    return {k: v for k, v in results.items() if k not in ("energy", "forces", "stress")}


def _check_geometry(atoms: Atoms, source: str) -> None:
    if len(atoms) == 0:
        raise InputError(f"{source}: the structure has no atoms")
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        raise InputError(f"{source}: a position or the cell is not finite; remove or repair the frame")
    if (atoms.numbers == 0).any():
        raise InputError(f"{source}: an atom has no known element (symbol X); name its element")
    box = atoms.cell.complete().array  # directions that do not repeat may lack a lattice vector
    lacking = atoms.pbc & (np.linalg.norm(atoms.cell.array, axis=1) < 1e-6)
    if lacking.any() or (atoms.pbc.any() and abs(np.linalg.det(box)) < 1e-6):
        raise InputError(
            f"{source}: periodic (pbc = {' '.join('FT'[int(p)] for p in atoms.pbc)}) but its cell has no volume, "
            f"{atoms.cell.array.tolist()}; give the lattice vectors of the periodic directions, or pbc='F F F' for an "
            "isolated structure"
        )
    neighbours = NeighborList(cutoff=2.0, full_list=False)
    check_distances(*neighbours.compute(atoms.positions, box, atoms.pbc.tolist(), quantities="ijd"), source)


def check_distances(i: np.ndarray, j: np.ndarray, distance: np.ndarray, source: str) -> None:
    """Raise an InputError, by source and atoms, where a distance (Å) of the pairs i, j is that of no two atoms."""
    if len(distance) and distance.min() < CLOSEST:
        k = int(distance.argmin())
        raise InputError(
            f"{source}: atoms {i[k]} and {j[k]} are {distance[k]:.3f} Å apart; remove or repair the frame "
            f"(nothing real is closer than {CLOSEST} Å)"
        )


def raw_value(atoms: Atoms, key: str | None) -> Any:
    """What a structure has under a name among results, per-structure and per-atom values; None: nothing."""
    results = atoms.calc.results if atoms.calc is not None else {}
    places = (results, atoms.info, atoms.arrays) if key is not None else ()
    return next((where[key] for where in places if where.get(key) is not None), None)


def _tensor(atoms: Atoms, key: str | None, order: str, source: str) -> np.ndarray | None:
    """Stress or virial (3, 3) of 6, 9 or 3×3 values."""
    value = _value(atoms, key, None, source)
    if value is None:
        return None
    if value.shape not in ((3, 3), (6,), (9,)):
        raise InputError(f"{source}: `{key}` has shape {value.shape}; expected 6, 9 or 3×3 values")
    return voigt_6_to_full_3x3_stress(value[STRESS_ORDERS[order]]) if value.size == 6 else value.reshape(3, 3)


def _value(atoms: Atoms, key: str | None, shape: tuple[int, ...] | None, source: str) -> np.ndarray | None:
    """Reference value under `key` among results, per-structure and per-atom values, None where there is none; shape
    None: any shape.
    """
    value = raw_value(atoms, key)
    if value is None:
        return None
    try:
        array = np.array(value, dtype=float, order="C")  # sums depend on the order in memory
    except (TypeError, ValueError):
        raise InputError(f"{source}: `{key}` is not a number or array of numbers: {str(value)[:60]!r}") from None
    if shape == () and array.size == 1:
        array = array.reshape(())  # a list of one number, as databases often hold
    if array.ndim > 1 and len(array) == 1 and array.shape != shape:
        array = array[0]  # a list of one vector or tensor, likewise
    if shape is not None and array.shape in (_flat(shape, 1), _flat(shape, 0)):
        array = array.reshape(shape)  # a tensor of each atom, as columns of files hold it, or of the structure
    if shape is not None and array.shape != shape:
        raise InputError(f"{source}: `{key}` has shape {array.shape}, expected {shape}")
    if not np.isfinite(array).all():
        raise InputError(f"{source}: `{key}` has a value that is not finite; remove or repair the frame")
    return array


def _flat(shape: tuple[int, ...], kept: int) -> tuple[int, ...]:
    """Shape whose dimensions after the kept ones are one; the same where there is nothing to put together."""
    return (*shape[:kept], math.prod(shape[kept:])) if len(shape) > kept + 1 else shape
