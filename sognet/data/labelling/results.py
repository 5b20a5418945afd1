"""Energy, forces and what else a calculator has of one structure, checked."""

from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError

from sognet.periodicity import has_stress

REQUIRED = ("energy", "forces")
FURTHER = ("stress", "charges", "dipole", "free_energy")


class LabelError(Exception):
    """Why a structure has no labels."""


def single_point(calculator: Any, atoms: Atoms) -> dict[str, Any]:
    """Results by ASE's names: energy (eV), forces (N,3) in eV/Å, and where the calculator has them, stress (6,) of what
    is periodic, charges (N,) in e, the dipole (3,) in e·Å of what is not, and a free energy that differs.

    Raises
    ------
    LabelError : the calculator gives no energy or forces, an array of another shape, or a number that is not finite.
    """
    atoms = atoms.copy()
    atoms.calc = calculator
    results = {name: calculator.get_property(name, atoms) for name in REQUIRED}
    if missing := [name for name in REQUIRED if results[name] is None]:
        raise LabelError(f"the calculator gives no {' and no '.join(missing)}")
    for name in FURTHER:
        if (value := _further(calculator, atoms, name)) is not None:
            results[name] = value
    if "free_energy" in results and abs(results["free_energy"] - results["energy"]) < 1e-9:
        del results["free_energy"]
    results = {name: np.asarray(value, dtype=float) for name, value in results.items()}
    for name in {"energy", "free_energy"} & set(results):
        results[name] = results[name].squeeze()  # some calculators give an array of one
    for name, value in results.items():
        if value.shape not in (shapes := _shapes(name, len(atoms))):
            raise LabelError(f"{name} has the shape {value.shape}, not {shapes[0]}")
    if broken := [name for name, value in results.items() if not np.isfinite(value).all()]:
        raise LabelError(f"{broken[0]} has a value that is not finite")
    return {name: value.tolist() for name, value in results.items()}


def _shapes(name: str, n_atoms: int) -> tuple[tuple[int, ...], ...]:
    """Shapes that a result may have."""
    known = {"stress": ((6,), (3, 3)), "dipole": ((3,),), "forces": ((n_atoms, 3),), "charges": ((n_atoms,),)}
    return known.get(name, ((),))


def _further(calculator: Any, atoms: Atoms, name: str) -> Any:
    if name == "stress" and not has_stress(atoms.cell.array, atoms.pbc):
        return None
    if name == "dipole" and atoms.pbc.any():
        return None  # it depends on the choice of images
    if name not in calculator.implemented_properties and name not in getattr(calculator, "results", {}):
        return None
    try:
        return calculator.get_property(name, atoms, allow_calculation=name != "free_energy")
    except PropertyNotImplementedError:
        return None
