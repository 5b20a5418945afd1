"""ASE's integrators and optimizer for the ensembles that there are, with degrees of freedom counted without the centre
of mass, and what their state is.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.filters import FrechetCellFilter, UnitCellFilter
from ase.md.bussi import Bussi
from ase.md.langevin import Langevin
from ase.md.md import MolecularDynamics
from ase.md.nose_hoover_chain import IsotropicMTKNPT, MaskedMTKNPT, NoseHooverChainNVT
from ase.md.verlet import VelocityVerlet
from ase.optimize import FIRE

from sognet.errors import InputError
from sognet.simulation.initial_structure import degrees_of_freedom, hold_centre
from sognet.simulation.settings import SimulationSettings

STATE = (
    *("nsteps", "_q", "_p", "_eps", "_p_eps", "_h", "_p_c", "_cell0", "_volume0", "_h0_basis", "transferred_energy"),
    *("vel", "dt", "a", "Nsteps", "orig_cell"),
)
"""What changes in integrators, optimizer and filter of cells from step to step, beside the atoms."""

THERMOSTAT_STATE = ("_eta", "_p_eta", "_xi", "_p_xi")
"""The same in the chains of thermostat and barostat."""


def make_dynamics(atoms: Atoms, settings: SimulationSettings, rng: np.random.Generator) -> MolecularDynamics | FIRE:
    """Integrator or optimizer of ASE, to be moved on by its `step`.

    Parameters
    ----------
    atoms : with calculator and velocities.
    settings : ensemble, thermostat and barostat.
    rng : of stochastic thermostats.

    Raises
    ------
    InputError : no cell, or fixed atoms, at constant pressure.
    """
    if settings.relaxes:
        return FIRE(_relaxed(atoms, settings), logfile=None)
    step = settings.timestep * units.fs
    time = settings.thermostat_time * units.fs
    match settings.ensemble, settings.thermostat:
        case "nve", _:
            return VelocityVerlet(atoms, step)
        case "npt", _:
            return _at_constant_pressure(atoms, settings)
        case _, "langevin":
            hold_centre(atoms)
            return Langevin(atoms, step, temperature_K=settings.temperature, friction=1 / time, fixcm=False, rng=rng)
        case _, "bussi":
            hold_centre(atoms)
            return Bussi(atoms, step, settings.temperature, time, rng=rng)
    dynamics = NoseHooverChainNVT(atoms, step, temperature_K=settings.temperature, tdamp=time)
    _without_centre(dynamics)
    return dynamics


def conserved_energy(dynamics: MolecularDynamics) -> float | None:
    """What an exact integrator would keep constant, eV; None for Langevin dynamics."""
    if hasattr(dynamics, "get_conserved_energy"):
        return float(dynamics.get_conserved_energy())
    if isinstance(dynamics, Langevin):
        return None
    return float(dynamics.atoms.get_total_energy()) - getattr(dynamics, "transferred_energy", 0.0)


def internal_state(dynamics: MolecularDynamics | FIRE) -> dict[str, np.ndarray]:
    """What a simulation that goes on needs beside positions, momenta, cell and random numbers."""
    return {
        f"{label}.{name}": np.asarray(getattr(part, name))
        for label, part, names in _parts(dynamics)
        for name in names
        if getattr(part, name, None) is not None
    }


def restore_internal_state(dynamics: MolecularDynamics | FIRE, state: dict[str, np.ndarray]) -> None:
    """Put back what `internal_state` gave."""
    for label, part, names in _parts(dynamics):
        for name in names:
            if (value := state.get(f"{label}.{name}")) is not None:
                setattr(part, name, value.item() if value.ndim == 0 else value.copy())


def largest_force(dynamics: FIRE) -> float:
    """Largest force, and stress as ASE's filters weigh it, of a relaxation, eV/Å."""
    return float(np.linalg.norm(dynamics.atoms.get_forces(), axis=1).max())


def _parts(dynamics: Any) -> Iterator[tuple[str, Any, tuple[str, ...]]]:
    yield "dynamics", dynamics, STATE
    yield "moved", dynamics.atoms, ("orig_cell",)
    for label in ("_thermostat", "_barostat"):
        if hasattr(dynamics, label):
            yield label, getattr(dynamics, label), THERMOSTAT_STATE


def _relaxed(atoms: Atoms, settings: SimulationSettings) -> Atoms | FrechetCellFilter | UnitCellFilter:
    if not settings.cell:
        return atoms
    check_cell(atoms, "simulation.cell=true")
    pressure = settings.pressure * units.GPa
    if atoms.pbc.all():
        return FrechetCellFilter(atoms, scalar_pressure=pressure)
    if settings.pressure:
        raise InputError("simulation.pressure needs three periodic directions; along open ones there is none")
    return UnitCellFilter(atoms)  # the stress along open directions is zero


def _at_constant_pressure(atoms: Atoms, settings: SimulationSettings) -> MolecularDynamics:
    check_cell(atoms, "simulation=npt")
    check_free(atoms)
    common = {
        "temperature_K": settings.temperature,
        "pressure_au": settings.pressure * units.GPa,
        "tdamp": settings.thermostat_time * units.fs,
        "pdamp": settings.barostat_time * units.fs,
    }
    step, is_bulk = settings.timestep * units.fs, bool(atoms.pbc.all())
    if settings.pressure and not is_bulk:
        raise InputError("simulation.pressure needs three periodic directions; a slab has simulation.pressure=0")
    if is_bulk and settings.barostat == "isotropic":
        dynamics = IsotropicMTKNPT(atoms, step, **common)
    else:
        dynamics = MaskedMTKNPT(atoms, step, mask=np.array(atoms.pbc), **common)
        dynamics._h0_basis = perpendicular_axes(atoms.cell.array, atoms.pbc)
    _without_centre(dynamics)
    return dynamics


def _without_centre(dynamics: NoseHooverChainNVT | IsotropicMTKNPT | MaskedMTKNPT) -> None:
    """Let the chain count the degrees of freedom that there are: ASE's counts 3N, with the centre of mass at rest."""
    thermostat = dynamics._thermostat
    thermostat._num_atoms_global = degrees_of_freedom(dynamics.atoms) / 3
    thermostat._Q[0] = 3 * thermostat._num_atoms_global * thermostat._kT * thermostat._tdamp**2


def perpendicular_axes(cell: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """Unit vectors (3,3) along which a cell (3,3) changes: those of the periodic directions span the periodic vectors.

    In a rectangular cell they are those of its vectors, and in any other the stretches along them are independent,
    which those along its vectors would not be.
    """
    order = np.argsort(~pbc, kind="stable")
    orthogonal, _ = np.linalg.qr(cell[order].T)
    axes = np.empty((3, 3))
    axes[order] = orthogonal.T
    return axes


def check_free(atoms: Atoms) -> None:
    """Refuse fixed atoms at constant pressure."""
    if atoms.constraints:
        raise InputError("simulation=npt: the file fixes atoms, which a changing cell would move; use nvt")


def check_cell(atoms: Atoms, what: str) -> None:
    """Refuse a change of the cell where nothing is periodic, or there is no volume."""
    if not atoms.pbc.any():
        raise InputError(f"{what}: the structure is not periodic, so there is no cell to change; use another ensemble")
    if abs(np.linalg.det(atoms.cell.array)) < 1e-6:
        raise InputError(
            f"{what}: the cell has no volume, {atoms.cell.array.tolist()}; give open directions a vector, too"
        )
