"""The quantities that a trajectory is analyzed for, by name, and which of them it allows."""

from collections.abc import Callable
from dataclasses import dataclass

from omegaconf import DictConfig

from sognet.errors import InputError
from sognet.trajectories.axis import lacks_axis
from sognet.trajectories.charge_structure import ChargeStructure
from sognet.trajectories.dielectric import DielectricConstant, lacks_dipole
from sognet.trajectories.dipole_correlation import DipoleCorrelation, lacks_dipoles
from sognet.trajectories.displacement import MeanSquareDisplacement
from sognet.trajectories.frames import Frame
from sognet.trajectories.hydrogen_bonds import HydrogenBonds
from sognet.trajectories.infrared import Infrared, lacks_current
from sognet.trajectories.orientation import Orientation
from sognet.trajectories.profiles import Profiles
from sognet.trajectories.radial_distribution import RadialDistribution
from sognet.trajectories.results import Quantity
from sognet.trajectories.vibrations import Vibrations
from sognet.trajectories.water import lacks_water


@dataclass(frozen=True)
class Kind:
    """A quantity that can be asked for.

    Parameters
    ----------
    make : from the first frame and conf/analyze.yaml.
    lacks : what a trajectory with this first frame lacks for it, and the remedy; empty: nothing.
    on_request : it is left out where no quantities are named.
    """

    make: Callable[[Frame, DictConfig], Quantity]
    lacks: Callable[[Frame, DictConfig], str] = lambda first, config: ""
    on_request: bool = False


def _no_pairs(first: Frame, config: DictConfig) -> str:
    return "" if len(first) > 1 else "two atoms"


def _no_times(first: Frame, config: DictConfig) -> str:
    return "" if first.time is not None else "times; set interval=<fs between two frames of the file>"


def _no_charges(first: Frame, config: DictConfig) -> str:
    if not first.pbc.all():
        return "three periodic directions"
    return "" if first.charges is not None else "charges; set charges={Na: 1, Cl: -1} or the name of a column"


def _no_velocities(first: Frame, config: DictConfig) -> str:
    if first.velocities is None:
        return "velocities (momenta in the file)"
    return _no_times(first, config)


KINDS: dict[str, Kind] = {
    "rdf": Kind(lambda first, c: RadialDistribution(first, c.n_blocks, c.r_max, c.r_width), _no_pairs),
    "msd": Kind(lambda first, c: MeanSquareDisplacement(first, c.n_blocks, c.fit), _no_times),
    "profiles": Kind(
        lambda first, c: Profiles(first, c.n_blocks, c.axis, c.z_width), lambda first, c: lacks_axis(first, c.axis)
    ),
    "charge_structure": Kind(lambda first, c: ChargeStructure(first, c.n_blocks, c.k_max), _no_charges),
    "vibrations": Kind(lambda first, c: Vibrations(first, c.n_blocks, c.resolution), _no_velocities),
    "infrared": Kind(
        lambda first, c: Infrared(first, c.n_blocks, c.resolution),
        lambda first, c: lacks_current(first) or _no_times(first, c),
    ),
    "orientation": Kind(
        lambda first, c: Orientation(first, c.n_blocks, c.axis, c.z_width),
        lambda first, c: lacks_axis(first, c.axis) or lacks_water(first),
    ),
    "dipole_correlation": Kind(
        lambda first, c: DipoleCorrelation(first, c.n_blocks, c.axis, c.k_max),
        lambda first, c: lacks_axis(first, c.axis) or lacks_dipoles(first),
    ),
    "hydrogen_bonds": Kind(lambda first, c: HydrogenBonds(first, c.n_blocks), lambda first, c: lacks_water(first)),
    "dielectric": Kind(
        lambda first, c: DielectricConstant(first, c.n_blocks),
        lambda first, c: lacks_dipole(first, c.charges),
        on_request=True,
    ),
}

CONTINUOUS = ("msd", "dielectric")
"""Quantities for which positions must not jump at the faces of the cell."""


def choose(first: Frame, config: DictConfig) -> tuple[dict[str, Quantity], dict[str, str]]:
    """Quantities of a configuration, and why others are left out where the trajectory decides.

    Raises
    ------
    InputError : a quantity is unknown, or the trajectory lacks what it needs.
    """
    usual = [name for name, kind in KINDS.items() if not kind.on_request]
    asked = [config.quantities] if isinstance(config.quantities, str) else config.quantities
    names = usual if asked is None else list(asked)
    if unknown := [name for name in names if name not in KINDS]:
        raise InputError(f"quantities: no {', '.join(map(str, unknown))}; there are {', '.join(KINDS)}")
    chosen, left_out = {}, {}
    for name in names:
        if not (lacks := KINDS[name].lacks(first, config)):
            chosen[name] = KINDS[name].make(first, config)
        elif config.quantities is not None:
            raise InputError(f"{first.source}: {name} needs {lacks}")
        else:
            left_out[name] = f"needs {lacks}"
    return chosen, left_out
