"""The engine torch-sim, for one system; `torch_sim_model` has the model for many at once."""

from typing import Any

import numpy as np
import torch
from ase import Atoms, units

from sognet.errors import InputError
from sognet.extras import require
from sognet.simulation.engines.callback import Callback
from sognet.simulation.engines.checks import check_offered
from sognet.simulation.engines.monte_carlo import MonteCarloBarostat
from sognet.simulation.initial_structure import degrees_of_freedom
from sognet.simulation.settings import SimulationSettings

OFFERED = {"nve": (), "nvt": ("langevin", "nose_hoover"), "npt": ("nose_hoover",)}
CHAIN = ("positions", "momenta")
"""What moves in a Nosé–Hoover chain."""


class TorchSimEngine:
    """Dynamics by torch-sim in double precision; its units are ASE's.

    The barostat is Monte Carlo: torch-sim 0.3 counts half of the kinetic energy in the pressure of its own.

    Parameters
    ----------
    atoms : with calculator and velocities.
    settings : what is asked for.
    rng : of the stochastic thermostat.

    Raises
    ------
    InputError : torch-sim is not there, or does not offer what is asked for.
    """

    def __init__(self, atoms: Atoms, settings: SimulationSettings, rng: np.random.Generator) -> None:
        check_offered("torch_sim", atoms, settings, OFFERED)
        if atoms.constraints:
            raise InputError("engine=torch_sim fixes no atoms, and the file fixes some; use engine=ase")
        require("torch_sim", "engines")
        from sognet.simulation.engines.torch_sim_model import CallbackModel

        self.atoms, self.settings = atoms, settings
        callback = Callback(atoms, stress=False)
        self.model = CallbackModel(callback)
        self.barostat = MonteCarloBarostat(callback, settings, rng) if settings.ensemble == "npt" else None
        self.kinetic = torch.tensor(units.kB * settings.temperature, dtype=torch.float64)
        self.timestep = torch.tensor(settings.timestep * units.fs, dtype=torch.float64)
        torch.manual_seed(int(rng.integers(2**63)))
        self.kept: dict[str, np.ndarray] = {}  # of a restart file
        self.moving: Any = None  # torch-sim's state, made for the first step

    def step(self, number: int) -> None:
        """One step of torch-sim."""
        if self.moving is None:
            self._start()
        self.moving = self.update(self.moving)
        if self.holds_centre:
            total = self.moving.momenta.sum(0) / self.moving.masses.sum()
            self.moving.momenta = self.moving.momenta - self.moving.masses[:, None] * total
        self.atoms.set_momenta(self.moving.momenta.numpy())
        if self.barostat is not None and number % self.barostat.every == 0:
            self.barostat.attempt()
            self.model.callback.check()
            self.moving.positions = torch.from_numpy(self.atoms.get_positions())
            self.moving.forces = torch.from_numpy(self.atoms.get_forces())

    def conserved_energy(self) -> float | None:
        """Energy with that of the Nosé–Hoover chain, eV; None for Langevin dynamics, and at constant pressure."""
        total = float(self.atoms.get_total_energy())
        if self.settings.ensemble == "nve":
            return total
        if self.barostat is not None or self.settings.thermostat == "langevin":
            return None
        if self.moving is None:
            self._start()
        chain = self.moving.chain
        counts = torch.tensor([chain.degrees_of_freedom, *[1] * (len(chain.positions) - 1)])
        of_chain = chain.momenta**2 / (2 * chain.masses) + self.kinetic * counts * chain.positions
        return total + float(of_chain.sum())

    def state(self) -> dict[str, np.ndarray]:
        """Random numbers, barostat and Nosé–Hoover chain."""
        arrays = {"torch_sim.random": torch.get_rng_state().numpy()}
        if self.barostat is not None:
            arrays |= self.barostat.state()
        chain = getattr(self.moving, "chain", None)
        return arrays | ({f"torch_sim.{n}": getattr(chain, n).numpy().copy() for n in CHAIN} if chain else self.kept)

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Put back what `state` gave."""
        torch.set_rng_state(torch.from_numpy(state["torch_sim.random"].copy()))
        if self.barostat is not None:
            self.barostat.restore(state)
        self.kept = {name: state[name] for n in CHAIN if (name := f"torch_sim.{n}") in state}
        self.moving = None

    @property
    def holds_centre(self) -> bool:
        """Whether the thermostat pushes the centre of mass, which is to stay."""
        langevin = self.settings.ensemble == "nvt" and self.settings.thermostat == "langevin"
        return langevin and len(self.atoms) > 1

    def _start(self) -> None:
        """State and function of the integrator. Nothing is periodic for torch-sim, which would wrap the positions."""
        from torch_sim.integrators import nve, nvt_langevin
        from torch_sim.integrators.md import MDState
        from torch_sim.integrators.nvt import nvt_nose_hoover

        atoms, time = self.atoms, torch.tensor(self.settings.thermostat_time * units.fs, dtype=torch.float64)
        system = {
            "positions": torch.from_numpy(atoms.get_positions()),
            "masses": torch.from_numpy(atoms.get_masses()),
            "cell": torch.from_numpy(atoms.cell.array.T.copy())[None],
            "pbc": False,
            "atomic_numbers": torch.from_numpy(atoms.numbers.copy()),
            "system_idx": torch.zeros(len(atoms), dtype=torch.int64),
        }
        momenta, bath = torch.from_numpy(atoms.get_momenta()), {"dt": self.timestep, "kT": self.kinetic}
        if self.settings.ensemble != "nve" and self.settings.thermostat == "nose_hoover":
            begin, self.update = nvt_nose_hoover(model=self.model, **bath)
            self.moving = begin(system, tau=time, momenta=momenta)
            chain, free = self.moving.chain, degrees_of_freedom(atoms)
            chain.masses[0] *= free / chain.degrees_of_freedom  # torch-sim counts the centre of mass as well
            chain.degrees_of_freedom = free
            for name, value in self.kept.items():
                setattr(chain, name.removeprefix("torch_sim."), torch.from_numpy(value.copy()))
            return
        _, self.update = (
            nve(self.model, **bath)
            if self.settings.ensemble == "nve"
            else nvt_langevin(self.model, **bath, gamma=1 / time)
        )
        from torch_sim.state import SimState

        found = self.model(SimState(**system))
        self.moving = MDState(**system, momenta=momenta, **found)
