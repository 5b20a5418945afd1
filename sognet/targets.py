"""The table of targets: what models are trained on, how its errors are defined and in which units people read them.

Readers, graphs, shards, loss, metrics and reports go through this table. A further target takes one row, added with
`TARGETS["dipole"] = Target("dipole", ...)`, and a model whose output has its name.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from sognet.periodicity import periodic_projector

Values = TypeVar("Values", bound=Any)
"""A NumPy array or a tensor."""

ERROR_KINDS = ("rmse", "mae")


@dataclass(frozen=True)
class Target:
    """One quantity that structures have reference values of and models predict.

    A reference value that a structure lacks is NaN in batches, where others have it; `known` tells.

    Attributes
    ----------
    name : of the value in graphs, outputs of models, weights of the loss and written predictions.
    label : of its errors, `<label>_rmse` and `<label>_mae`.
    symbol : in titles of columns.
    unit : in which people read errors; `scale` times the unit of the value (eV, Å, e) gives it.
    per_atom : one value for each atom, else for each structure.
    shape : of one value.
    extensive : errors are divided by the number of atoms.
    periodic : the value, of a shape such as (3,3), is per volume and defined along periodic directions only. Along open
        ones it is zero; structures that are not periodic, or whose cell has no volume, count as without.
    open : the value is defined along open directions only: a vector is zero along periodic ones, and what is periodic
        in all directions, or of another shape and periodic in any, counts as without.
    centred : the zero of the value is arbitrary, so that its spread is the standard deviation and not the root mean
        square.
    keys : names in files, the first that is there; of energy, forces and stress `dataset.<name>_key` says another.
    """

    name: str
    label: str
    symbol: str
    unit: str
    scale: float = 1.0
    per_atom: bool = False
    shape: tuple[int, ...] = ()
    extensive: bool = False
    periodic: bool = False
    open: bool = False
    centred: bool = False
    keys: tuple[str, ...] = ()

    def reference(self, structure: Any) -> Any:
        """Reference value of a structure, (N, *shape) or of the shape; None where it has none or it is not defined."""
        value = structure.value(self.name)
        if value is None or not (self.periodic or self.open):
            return value
        if self.open:
            if structure.pbc.all() or (structure.pbc.any() and self.shape != (3,)):
                return None
            return value - _along_periodic_directions(value, structure.cell, structure.pbc)
        if structure.pbc.all():
            return value
        return _along_periodic_directions(value, structure.cell, structure.pbc) if structure.has_stress else None

    def values_shape(self, n_atoms: int) -> tuple[int, ...]:
        """Shape of the values of a structure."""
        return (n_atoms, *self.shape) if self.per_atom else self.shape

    def known(self, reference: Values) -> Values:
        """Which of n reference values (n, *shape) are there, (n,) bool: a missing one is NaN in all components."""
        return (reference == reference).reshape(len(reference), math.prod(self.shape)).any(1)

    def normalized(self, difference: Values, n_atoms: Values) -> Values:
        """Errors from differences of predictions and references (n, *shape), with the structures' sizes (n,).

        The error of an energy is that per atom; that of forces, stress and whatever is not extensive the difference.
        RMSE and MAE are over all components of all values that are there.
        """
        return difference / n_atoms.reshape((-1,) + (1,) * len(self.shape)) if self.extensive else difference


def _along_periodic_directions(value: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """A tensor (3, ...) without its components along open directions."""
    projector = periodic_projector(cell, pbc)
    for axis in range(np.ndim(value)):
        value = np.moveaxis(np.tensordot(projector, value, (1, axis)), 0, axis)
    return value


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("energy", "energy", "E", "meV/atom", 1000.0, extensive=True, centred=True, keys=("energy",)),
        Target("forces", "force", "F", "meV/Å", 1000.0, per_atom=True, shape=(3,), keys=("forces",)),
        Target("stress", "stress", "σ", "meV/Å³", 1000.0, shape=(3, 3), periodic=True, keys=("stress",)),
    )
}
"""By name; energy, forces and stress are those of every model."""

OF_CHARGES: dict[str, Target] = {
    target.name: target
    for target in (
        Target("charges", "charge", "q", "me", 1000.0, per_atom=True, keys=("charges",)),
        Target("dipole", "dipole", "μ", "me·Å", 1000.0, shape=(3,), open=True, keys=("dipole",)),
        Target("quadrupole", "quadrupole", "Θ", "me·Å²", 1000.0, shape=(3, 3), open=True, keys=("quadrupole",)),
        Target(
            *("born_effective_charges", "born_charge", "Z*", "me", 1000.0),
            per_atom=True,
            shape=(3, 3),
            keys=("born_effective_charges", "bec"),
        ),
    )
}
"""Rows of what latent charges give (sognet.model.response), in the table where `add_targets` asks for them."""

COMMON = tuple(TARGETS)
"""Targets that are fields of Structure and Prediction; values of the others are in their `further`."""


def further_targets() -> list[Target]:
    """Rows of the table beyond energy, forces and stress."""
    return [target for name, target in TARGETS.items() if name not in COMMON]


def add_targets(names: Iterable[str]) -> None:
    """Put those rows of OF_CHARGES into the table that are asked for by name and not there; others are left out."""
    for name in names:
        if name in OF_CHARGES:
            TARGETS.setdefault(name, OF_CHARGES[name])


def error_titles() -> dict[str, str]:
    """Titles of columns of errors with their units, by name: `F RMSE, meV/Å`."""
    return {
        f"{target.label}_{kind}": f"{target.symbol} {kind.upper()}, {target.unit}"
        for target in TARGETS.values()
        for kind in ERROR_KINDS
    }


def error_figures(target: Target, errors: np.ndarray) -> dict[str, float]:
    """RMSE and MAE of errors (any shape, in the unit of the value), by name and in the unit that people read."""
    scaled = target.scale * np.asarray(errors, dtype=float)
    return {
        f"{target.label}_rmse": float(np.sqrt(np.square(scaled).mean())),
        f"{target.label}_mae": float(np.abs(scaled).mean()),
    }
