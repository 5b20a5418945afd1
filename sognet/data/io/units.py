"""Units of the user's files -> Å and eV."""

from collections.abc import Mapping
from dataclasses import dataclass

from ase import Atoms, units

from sognet.data.structure import Structure
from sognet.errors import InputError

ENERGIES: dict[str, float] = {
    "eV": 1.0,
    "meV": 1e-3,
    "Hartree": units.Hartree,
    "Ha": units.Hartree,
    "Ry": units.Rydberg,
    "kcal/mol": units.kcal / units.mol,
    "kJ/mol": units.kJ / units.mol,
}
LENGTHS: dict[str, float] = {"Å": 1.0, "Angstrom": 1.0, "Bohr": units.Bohr, "nm": units.nm, "pm": 1e-2}
PRESSURES: dict[str, float] = {"GPa": units.GPa, "kbar": 0.1 * units.GPa, "bar": units.bar}


@dataclass(frozen=True)
class Units:
    """Units of the values in a file; the defaults are those of a Structure.

    Attributes
    ----------
    energy, length : eV, meV, Hartree (Ha), Ry, kcal/mol, kJ/mol; Å (Angstrom), Bohr, nm, pm.
    force : energy and length with a slash between them, `Hartree/Bohr`; None: the two units above.
    stress : energy and length cubed, `eV/Å^3`, or GPa, kbar, bar; None: the two units above.
    stress_sign : 1 where the stress is positive under tension and the virial its negative times the volume, as in ASE;
        -1 where both are the other way round, as a stress of VASP (positive under compression).

    Raises
    ------
    InputError : an unknown unit, or another sign.
    """

    energy: str = "eV"
    length: str = "Å"
    force: str | None = None
    stress: str | None = None
    stress_sign: int = 1

    def __post_init__(self) -> None:
        if self.stress_sign not in (1, -1):
            raise InputError(f"dataset.stress_sign must be 1 or -1, got {self.stress_sign!r}")
        self.factors()

    def factors(self) -> dict[str, float]:
        """Factors to eV, Å, eV/Å and eV/Å³ of `energy`, `length`, `forces` and `stress`."""
        energy = _factor(ENERGIES, self.energy, "energy")
        length = _factor(LENGTHS, self.length, "length")
        force, stress = energy / length, energy / length**3
        if self.force is not None:
            numerator, _, denominator = self.force.rpartition("/")
            force = _factor(ENERGIES, numerator, "force") / _factor(LENGTHS, denominator, "force")
        if self.stress is not None:
            numerator, _, denominator = self.stress.rpartition("/")
            if numerator:
                volume = _factor(LENGTHS, denominator.removesuffix("^3").removesuffix("³"), "stress") ** 3
                stress = _factor(ENERGIES, numerator, "stress") / volume
            else:
                stress = _factor(PRESSURES, self.stress, "stress")
        return {"energy": energy, "length": length, "forces": force, "stress": stress}

    def scale_geometry(self, atoms: Atoms) -> None:
        """Turn positions and cell into Å, in place."""
        length = self.factors()["length"]
        if length != 1.0:
            atoms.set_cell(atoms.cell.array * length)
            atoms.positions *= length

    def scale_values(self, structure: Structure, of_virial: bool = False) -> None:
        """Turn energy, forces and stress into eV and Å, in place; further values in `info` stay as they are.

        Parameters
        ----------
        structure : with its geometry in Å.
        of_virial : whether the stress was made of a virial, in the unit of the energy, and the volume in Å³.
        """
        factors = self.factors()
        factors["stress"] = self.stress_sign * (factors["energy"] if of_virial else factors["stress"])
        for name in ("energy", "forces", "stress"):
            value = getattr(structure, name)
            if value is not None and factors[name] != 1.0:
                setattr(structure, name, value * factors[name])


def _factor(known: Mapping[str, float], unit: str, name: str) -> float:
    if unit not in known:
        raise InputError(f"dataset.{name}_unit: there is no {unit!r}; known are {', '.join(known)}")
    return known[unit]
