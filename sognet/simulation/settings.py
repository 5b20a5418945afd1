"""What a simulation is asked to do: the values of the configuration group `simulation`, checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from sognet.errors import InputError

ENSEMBLES = ("nve", "nvt", "npt", "relax")
THERMOSTATS = ("langevin", "nose_hoover", "bussi")
BAROSTATS = ("isotropic", "anisotropic")
TRAJECTORIES = ("extxyz", "traj", "h5md")
NAMES = {"ensemble": ENSEMBLES, "thermostat": THERMOSTATS, "barostat": BAROSTATS, "trajectory": TRAJECTORIES}


@dataclass(frozen=True)
class UncertaintySettings:
    """Limits of a committee's force on any atom, and how many frames are collected.

    Parameters
    ----------
    stop : eV/Å; above it a simulation stops. None: never.
    collect : eV/Å; above it a frame is collected, to be labelled. None: none is.
    min_steps : between two collected frames.
    max_frames : most that are collected.

    Raises
    ------
    InputError : a number out of range, or a simulation would stop where it is to collect.
    """

    stop: float | None = None
    collect: float | None = None
    min_steps: int = 100
    max_frames: int = 100

    def __post_init__(self) -> None:
        for name, least in (("stop", 0), ("collect", 0), ("min_steps", 1), ("max_frames", 1)):
            if (value := getattr(self, name)) is not None and not value >= least:
                raise InputError(f"simulation.uncertainty.{name} must be at least {least}, got {value}")
        if self.stop is not None and self.collect is not None and self.stop <= self.collect:
            raise InputError(
                f"simulation.uncertainty.stop={self.stop:g} must be above simulation.uncertainty.collect="
                f"{self.collect:g}, where frames are collected and the simulation goes on"
            )

    @property
    def needs_committee(self) -> bool:
        """Whether anything is asked for."""
        return self.stop is not None or self.collect is not None


@dataclass(frozen=True)
class SimulationSettings:
    """Length, ensemble and limits of a simulation.

    Parameters
    ----------
    ensemble : nve, nvt, npt, or relax for the nearest minimum of the energy.
    steps : in all; of a relaxation at most.
    timestep : fs.
    every : steps between two frames of the trajectory and lines of thermo.csv.
    trajectory : format of the trajectory, extxyz, traj or h5md.
    restart_every : steps between two restart files.
    frame : of the file, counted from 0; -1 for the last.
    temperature : K, of the thermostat and of drawn velocities.
    thermostat : langevin, nose_hoover or bussi.
    thermostat_time, barostat_time : fs in which they act.
    pressure : GPa.
    barostat : isotropic or anisotropic.
    fmax : eV/Å, below which a relaxation ends.
    cell : whether a relaxation moves the periodic lattice vectors.
    field : uniform electric field in V/Å.
    max_temperature : K; above it a simulation stops.
    max_extent : Å from the centre along open directions, beyond which an atom is lost.
    uncertainty : of a committee, where it stops a simulation or frames are collected.
    seed : of drawn velocities and of the thermostat.

    Raises
    ------
    InputError : a name that there is not, or a number out of range.
    """

    ensemble: str = "nvt"
    steps: int = 10000
    timestep: float = 1.0
    every: int = 100
    trajectory: str = "extxyz"
    restart_every: int = 1000
    frame: int = -1
    temperature: float = 300.0
    thermostat: str = "langevin"
    thermostat_time: float = 100.0
    pressure: float = 0.0
    barostat: str = "isotropic"
    barostat_time: float = 1000.0
    fmax: float = 0.01
    cell: bool = False
    field: Sequence[float] | None = None
    max_temperature: float = 10000.0
    max_extent: float = 1000.0
    uncertainty: UncertaintySettings = UncertaintySettings()
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in NAMES.items():
            if getattr(self, name) not in known:
                raise InputError(f"simulation.{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if self.ensemble == "npt" and self.thermostat != "nose_hoover":
            raise InputError(f"simulation=npt has thermostat=nose_hoover only, got {self.thermostat!r}")
        for name in ("steps", "every", "restart_every"):
            if getattr(self, name) < 1:
                raise InputError(f"simulation.{name} must be at least 1, got {getattr(self, name)}")
        if self.seed < 0:
            raise InputError(f"seed must be at least 0, got {self.seed}")
        for name in ("timestep", "thermostat_time", "barostat_time", "fmax", "max_temperature", "max_extent"):
            if not getattr(self, name) > 0:
                raise InputError(f"simulation.{name} must be positive, got {getattr(self, name)}")
        if not self.temperature >= 0 or (self.temperature == 0 and self.ensemble in ("nvt", "npt")):
            raise InputError(f"simulation.temperature must be positive, got {self.temperature}")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "SimulationSettings":
        """Settings by name; 1e5 is a whole number of steps, too.

        Raises
        ------
        InputError : an unknown name, or a value that is of the wrong type or out of range.
        """
        values = dict(values)
        if isinstance(values.get("uncertainty"), Mapping):
            checked = _checked(UncertaintySettings, values["uncertainty"], "simulation.uncertainty")
            values["uncertainty"] = UncertaintySettings(**checked)
        return cls(**_checked(cls, values, "simulation"))

    @property
    def relaxes(self) -> bool:
        """Whether a minimum is looked for, without time."""
        return self.ensemble == "relax"

    def time(self, step: int) -> float:
        """Time at a step, ps."""
        return step * self.timestep / 1000


def _checked(kind: type, values: Mapping[str, Any], group: str) -> dict[str, Any]:
    """Values of the fields of a class by name, of the right types."""
    types, checked = get_type_hints(kind), {}
    if unknown := sorted(set(values) - set(types)):
        raise InputError(f"no {group}.{unknown[0]}; there are {', '.join(types)}")
    for name, value in values.items():
        try:
            checked[name] = TypeAdapter(types[name]).validate_python(value)
        except ValidationError as error:
            raise InputError(f"{group}.{name}={value}: {error.errors()[0]['msg']}") from None
    return checked
