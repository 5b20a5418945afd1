"""The engine OpenMM: its integrators and Monte Carlo barostat, with the forces of a model by a `PythonForce`."""

from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms, units

from sognet.extras import require
from sognet.simulation.engines.callback import Callback
from sognet.simulation.engines.checks import check_offered, fixed_atoms
from sognet.simulation.engines.lower_cell import fractional, reduced, triangular
from sognet.simulation.settings import SimulationSettings

if TYPE_CHECKING:
    import openmm

OFFERED = {"nve": (), "nvt": ("langevin", "nose_hoover"), "npt": ("nose_hoover",)}

NM = 10.0
"""Å."""

ENERGY = units.kJ / units.mol
"""eV in one kJ/mol."""

PS = 1000 * units.fs
"""ASE's units of time in one ps."""

BAR = 1e4
"""bar in one GPa."""

TRIALS = 40
"""Changes of volume that the barostat tries in `simulation.barostat_time`."""


class OpenMMEngine:
    """Dynamics by OpenMM on its Reference platform, in double precision; the model computes where it is told to.

    Parameters
    ----------
    atoms : with calculator and velocities.
    settings : what is asked for.
    rng : of stochastic thermostats and barostat.

    Raises
    ------
    InputError : OpenMM is not there, or does not offer what is asked for.
    """

    def __init__(self, atoms: Atoms, settings: SimulationSettings, rng: np.random.Generator) -> None:
        check_offered("openmm", atoms, settings, OFFERED)
        require("openmm", "engines")
        import openmm

        self.atoms, self.settings, self.rng = atoms, settings, rng
        self.changes_cell = settings.ensemble == "npt"
        self.callback = Callback(atoms, stress=False)
        self.cell, self.rotation = atoms.cell.array.copy(), np.eye(3)
        self.masses = np.where(fixed_atoms(atoms), 0.0, atoms.get_masses())
        self.holds_centre = settings.ensemble != "nve" and self.masses.all() and len(atoms) > 1
        self.integrator = _integrator(settings, rng)
        platform = openmm.Platform.getPlatformByName("Reference")
        self.barostat: openmm.MonteCarloBarostat | openmm.MonteCarloAnisotropicBarostat | None = None
        self.context = openmm.Context(self._system(), self.integrator, platform)
        self.context.setPositions(atoms.positions @ self.rotation / NM)
        self.context.setVelocities(atoms.get_velocities() @ self.rotation * PS / NM)

    def step(self, number: int) -> None:
        """One step of OpenMM."""
        try:
            self.integrator.step(1)
        except Exception:
            self.callback.check()  # what was raised in the model, rather than what OpenMM makes of it
            raise
        state = self.context.getState(positions=True, velocities=True)
        self.callback(*self._seen_by_model(state))  # most integrators ask for these forces in the next step only
        self.callback.check()
        velocities = state.getVelocities(asNumpy=True)._value @ self.rotation.T * NM / PS
        if self.holds_centre:  # as OpenMM does at the beginning of its next step
            velocities -= self.masses @ velocities / self.masses.sum()
        self.atoms.set_momenta(self.masses[:, None] * velocities, apply_constraint=False)

    def conserved_energy(self) -> float | None:
        """Total energy of `nve`, eV; OpenMM's thermostats and barostat have velocities of the half step."""
        return float(self.atoms.get_total_energy()) if self.settings.ensemble == "nve" else None

    def state(self) -> dict[str, np.ndarray]:
        """OpenMM's own checkpoint, with its random numbers."""
        return {"openmm": np.frombuffer(self.context.createCheckpoint(), dtype=np.uint8)}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Put back what `state` gave, on the same version of OpenMM; the barostat tries other volumes than before."""
        if self.barostat is not None:
            self.barostat.setRandomNumberSeed(_seed(self.rng))
            self.context.reinitialize()
        self.context.loadCheckpoint(state["openmm"].tobytes())

    def _system(self) -> "openmm.System":
        import openmm

        system = openmm.System()
        for mass in self.masses:
            system.addParticle(mass)
        force = openmm.PythonForce(self._energy_and_forces)
        if self.holds_centre:
            system.addForce(openmm.CMMotionRemover(1))
        if self.changes_cell:
            lower, self.rotation = triangular(self.cell)
            self.sides = np.diag(lower)
            system.setDefaultPeriodicBoxVectors(*(reduced(lower) / NM))
            force.setUsesPeriodicBoundaryConditions(True)
            frequency = max(1, round(self.settings.barostat_time / self.settings.timestep / TRIALS))
            pressure, kelvin = self.settings.pressure * BAR, self.settings.temperature
            if self.settings.barostat == "isotropic":
                self.barostat = openmm.MonteCarloBarostat(pressure, kelvin, frequency)
            else:
                of_axes = openmm.Vec3(pressure, pressure, pressure)
                self.barostat = openmm.MonteCarloAnisotropicBarostat(of_axes, kelvin, True, True, True, frequency)
            self.barostat.setRandomNumberSeed(_seed(self.rng))
            system.addForce(self.barostat)
        system.addForce(force)
        return system

    def _energy_and_forces(self, state: "openmm.State") -> tuple[float, np.ndarray]:
        found = self.callback(*self._seen_by_model(state))
        return found.energy / ENERGY, found.forces @ self.rotation / ENERGY * NM

    def _seen_by_model(self, state: "openmm.State") -> tuple[np.ndarray, np.ndarray | None]:
        """Positions (N,3) in Å by the axes of the atoms, without wrapping, and the cell where it changes."""
        positions = state.getPositions(asNumpy=True)._value @ self.rotation.T * NM
        if not self.changes_cell:
            return positions, None
        stretches = np.diag(state.getPeriodicBoxVectors(asNumpy=True)._value) * NM / self.sides
        cell = self.cell @ (self.rotation * stretches) @ self.rotation.T
        images = np.round(fractional(self.atoms.positions, self.atoms.cell.array) - fractional(positions, cell))
        return positions + images @ cell, cell


def _integrator(settings: SimulationSettings, rng: np.random.Generator) -> "openmm.Integrator":
    import openmm

    step, rate = settings.timestep / 1000, 1000 / settings.thermostat_time
    if settings.ensemble == "nve":
        return _velocity_verlet(openmm.CustomIntegrator(step))
    if settings.thermostat == "langevin":
        integrator = openmm.LangevinMiddleIntegrator(settings.temperature, rate, step)
        integrator.setRandomNumberSeed(_seed(rng))
        return integrator
    return openmm.NoseHooverIntegrator(settings.temperature, rate, step)


def _velocity_verlet(integrator: Any) -> Any:
    """Velocities and positions at the same time, as in the other engines; OpenMM's VerletIntegrator leaps."""
    integrator.addUpdateContextState()
    integrator.addComputePerDof("v", "v + 0.5 * dt * f / m")
    integrator.addComputePerDof("x", "x + dt * v")
    integrator.addComputePerDof("v", "v + 0.5 * dt * f / m")
    return integrator


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(1, 2**31 - 1))
