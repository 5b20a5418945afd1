"""Energies, temperature and pressure of a frame, and what a whole run says about them."""

from collections.abc import Mapping, Sequence

import numpy as np
from ase import Atoms, units

from sognet.periodicity import periodic_projector
from sognet.simulation.engines import Engine
from sognet.simulation.initial_structure import temperature
from sognet.simulation.settings import SimulationSettings

TIME, TEMPERATURE, CONSERVED = "time (ps)", "temperature (K)", "conserved energy (eV)"
POTENTIAL, FORCE = "potential energy (eV)", "largest force (eV/Å)"


def values_of(atoms: Atoms, engine: Engine, settings: SimulationSettings, step: int) -> dict[str, float]:
    """Line of thermo.csv, with units in the names; pressure and volume where the structure is periodic."""
    potential = float(atoms.get_potential_energy())
    values: dict[str, float] = {"step": step}
    if settings.relaxes:
        values |= {POTENTIAL: potential, FORCE: engine.largest_force()}
    else:
        kinetic = float(atoms.get_kinetic_energy())
        values |= {TIME: settings.time(step), POTENTIAL: potential, "kinetic energy (eV)": kinetic}
        values |= {"total energy (eV)": potential + kinetic, TEMPERATURE: temperature(atoms)}
        if (conserved := engine.conserved_energy()) is not None:
            values[CONSERVED] = conserved
    if "stress" in atoms.calc.results:
        values["pressure (GPa)"] = pressure(atoms, kinetic=not settings.relaxes)
        if atoms.pbc.all():
            values["volume (Å³)"] = float(atoms.get_volume())
    if "forces_uncertainty" in atoms.calc.other_results:
        values["largest force uncertainty (eV/Å)"] = float(atoms.calc.other_results["forces_uncertainty"].max())
    return values


def pressure(atoms: Atoms, kinetic: bool) -> float:
    """Minus the mean stress along the periodic directions, GPa, with the part of the ideal gas where it is wanted."""
    stress = atoms.get_stress(voigt=False, include_ideal_gas=kinetic)
    along = periodic_projector(atoms.cell.array, atoms.pbc)
    return float(-np.trace(along @ stress) / atoms.pbc.sum() / units.GPa)


def drift(columns: Mapping[str, Sequence[float]], n_atoms: int) -> float | None:
    """Slope of the conserved energy in meV/atom/ps, by least squares; None where there is none, or too few lines."""
    energies, times = columns.get(CONSERVED, ()), columns.get(TIME, ())
    if len(energies) < 3:
        return None
    slope = np.polyfit(np.asarray(times) - times[0], np.asarray(energies) - energies[0], 1)[0]
    return float(1000 * slope / n_atoms)


def summary_of(columns: Mapping[str, Sequence[float]], n_atoms: int) -> str:
    """Mean temperature with its spread, of the second half, and drift of the conserved energy, in words."""
    temperatures = np.asarray(columns[TEMPERATURE])
    later = temperatures[len(temperatures) // 2 :]
    text = f"mean temperature {later.mean():.0f} K in the second half (fluctuates by {later.std():.0f} K)"
    if (slope := drift(columns, n_atoms)) is not None:
        text += f", drift of the conserved energy {slope:.2g} meV/atom/ps"
    return text
