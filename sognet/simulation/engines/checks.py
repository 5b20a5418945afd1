"""What an engine does not offer, refused by name before anything is evaluated."""

from collections.abc import Mapping, Sequence

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms

from sognet.errors import InputError
from sognet.simulation.dynamics import check_cell, check_free
from sognet.simulation.settings import SimulationSettings


def check_offered(
    engine: str, atoms: Atoms, settings: SimulationSettings, offered: Mapping[str, Sequence[str]]
) -> None:
    """Refuse what an engine cannot do.

    Parameters
    ----------
    engine : its name.
    atoms, settings : what is asked for.
    offered : the ensembles that it has, and the thermostats of each.

    Raises
    ------
    InputError : an ensemble or thermostat that it lacks, constraints other than atoms that are fixed, or a cell that
        cannot change.
    """
    remedy = f"engine={engine} has {', '.join(offered)}; use engine=ase"
    if settings.ensemble not in offered:
        raise InputError(f"simulation={settings.ensemble}: {remedy}")
    thermostats = offered[settings.ensemble]
    if thermostats and settings.thermostat not in thermostats:
        raise InputError(
            f"simulation.thermostat={settings.thermostat}: engine={engine} has {', '.join(thermostats)} for "
            f"simulation={settings.ensemble}; use one of these, or engine=ase"
        )
    for constraint in atoms.constraints:
        if not isinstance(constraint, FixAtoms):
            kind = type(constraint).__name__
            raise InputError(f"engine={engine} fixes whole atoms only, and the file has {kind}; use engine=ase")
    if settings.ensemble == "npt":
        check_cell(atoms, "simulation=npt")
        check_free(atoms)
        if not atoms.pbc.all():
            raise InputError(
                f"simulation=npt: engine={engine} changes cells of three periodic directions only; use engine=ase"
            )


def fixed_atoms(atoms: Atoms) -> np.ndarray:
    """Which atoms (N,) are fixed."""
    fixed = np.zeros(len(atoms), dtype=bool)
    for constraint in atoms.constraints:
        fixed[constraint.get_indices()] = True
    return fixed
