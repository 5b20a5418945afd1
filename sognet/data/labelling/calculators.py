"""Calculators that label structures: what makes them anew for each structure, and what they cannot compute."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from sognet.errors import InputError
from sognet.extras import require
from sognet.trust import resolve

LIBRARIES = ("ase.calculators", "tblite.ase")
"""Whose calculators may be named without trust."""

CHARGE = "charge"
"""Argument for the total charge, where a calculator has one of this name."""


@dataclass(frozen=True)
class Known:
    """What is known of a calculator before it computes anything.

    Parameters
    ----------
    extra : the package that it needs, and the extra of this package that installs it.
    elements : (n,) atomic numbers.
    partly_periodic : whether it computes slabs and wires.
    charged : whether the total charge is an argument.
    arguments : gives the names of its arguments, where its signature does not say them.
    """

    extra: tuple[str, str] | None = None
    elements: frozenset[int] | None = None
    partly_periodic: bool = True
    charged: bool = False
    arguments: Callable[[Any], set[str]] | None = None


def _defaults(calculator: Any) -> set[str]:
    return set(calculator.default_parameters)


KNOWN = {
    "tblite.ase.TBLite": Known(("tblite", "quantum"), frozenset(range(1, 87)), False, True, _defaults),
    "ase.calculators.emt.EMT": Known(elements=frozenset({1, 6, 7, 8, 13, 28, 29, 46, 47, 78, 79}), arguments=_defaults),
}
"""By import path."""


@dataclass(frozen=True)
class CalculatorSettings:
    """A calculator by its import path, so that other processes can make it.

    Parameters
    ----------
    target : class, or function that gives a calculator.
    arguments : of the target.
    charge_argument : the argument that takes the total charge (e); null: `charge`, where there is one of this name.
    trust : modules outside this package that may be imported.
    """

    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    charge_argument: str | None = None
    trust: Sequence[str] = ()

    @classmethod
    def of(cls, settings: Mapping[str, Any], charge_argument: str | None, trust: Sequence[str]) -> "CalculatorSettings":
        """From a group of the configuration, whose `_target_` names the calculator.

        Raises
        ------
        InputError : there is none.
        """
        arguments = dict(settings)
        target = arguments.pop("_target_", None)
        if not isinstance(target, str) or target == "???":
            raise InputError(
                "choose a calculator: calculator=tblite for instance, or calculator._target_=mine.calculator "
                "trust=[mine]"
            )
        return cls(target, arguments, charge_argument, trust)

    @property
    def known(self) -> Known:
        """What is known of it beforehand."""
        return KNOWN.get(self.target, Known())

    def resolved(self) -> Callable[..., Any]:
        """The class or function.

        Raises
        ------
        InputError : it is not there, not trusted, or its package is not installed.
        """
        if self.known.extra:
            require(*self.known.extra)
        return resolve(self.target, (*self.trust, *LIBRARIES), "calculator._target_")

    def make(self, charge: float) -> Any:
        """A new calculator for a structure of a total charge (e)."""
        name = self._charge_name()
        return self.resolved()(**self.arguments, **({name: _whole(charge)} if name else {}))

    def unchecked_arguments(self) -> list[str]:
        """Names among the arguments that the target takes as it takes any name, so that a misspelt one passes."""
        target = self.resolved()
        parameters = inspect.signature(target).parameters
        if all(p.kind is not inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
            return []
        return sorted(set(self.arguments) - set(parameters) - set(getattr(target, "default_parameters", ())))

    def check(self, structures: Sequence[Atoms], charges: Sequence[float], sources: Sequence[str]) -> None:
        """Find what cannot be computed before time is spent.

        Parameters
        ----------
        structures, charges, sources : what is to be labelled, its total charges (e), and where it came from.

        Raises
        ------
        InputError : names the structure, or the argument, and says what to do.
        """
        self._check_arguments()
        for atoms, charge, source in zip(structures, charges, sources, strict=True):
            self._check_structure(atoms, charge, source)

    def _check_arguments(self) -> None:
        target, known = self.resolved(), self.known
        given = dict(self.arguments)
        if self.charge_argument in given or (known.charged and CHARGE in given):
            name = self.charge_argument or CHARGE
            raise InputError(
                f"calculator.{name} is the total charge, which each structure has of its own: leave it out, and see "
                "charge_key"
            )
        if known.arguments and (unknown := sorted(set(given) - known.arguments(target))):
            raise InputError(
                f"calculator.{unknown[0]}: {self.target} has no such argument; it has "
                f"{', '.join(sorted(known.arguments(target)))}"
            )
        name = self._charge_name()
        try:
            inspect.signature(target).bind(**given, **({name: 0} if name else {}))
        except TypeError as error:
            raise InputError(f"calculator: {self.target}: {error}") from None

    def _check_structure(self, atoms: Atoms, charge: float, source: str) -> None:
        known = self.known
        if known.elements is not None and (unknown := sorted(set(atoms.numbers.tolist()) - known.elements)):
            name = ", ".join(chemical_symbols[z] for z in unknown)
            raise InputError(f"{source}: {self.target} does not know {name}; take the frame out, or another calculator")
        if not known.partly_periodic and atoms.pbc.any() and not atoms.pbc.all():
            raise InputError(
                f"{source}: pbc = {' '.join('FT'[int(p)] for p in atoms.pbc)}, and {self.target} knows all directions "
                "or none; it would give the energy of T T T without saying so. pbc=[true,true,true] with a cell "
                "that has vacuum says that this is meant"
            )
        if charge and self._charge_name() is None:
            raise InputError(
                f"{source}: the total charge is {charge:g} e, and {self.target} takes none; name its argument by "
                "charge_argument, or set charge_key=null to label all structures as the calculator does"
            )

    def _charge_name(self) -> str | None:
        if self.charge_argument:
            return self.charge_argument
        if self.known.charged:
            return CHARGE
        parameters = inspect.signature(self.resolved()).parameters
        return CHARGE if CHARGE in parameters and CHARGE not in self.arguments else None


def _whole(charge: float) -> float | int:
    """An integer where it is one: some calculators take nothing else."""
    return int(charge) if float(np.round(charge)) == charge else charge
