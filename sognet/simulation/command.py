"""`sognet simulate`: reads the configuration, and starts or continues a simulation."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, ListConfig, OmegaConf

from sognet.errors import InputError
from sognet.renamed_settings import with_new_names
from sognet.simulation.calculator import SOGNetCalculator
from sognet.simulation.engines import MakeEngine, find_engine
from sognet.simulation.files import unwritable
from sognet.simulation.initial_structure import first_atoms
from sognet.simulation.restart import RESTART, RestartState
from sognet.simulation.run import START, Simulation
from sognet.simulation.settings import SimulationSettings
from sognet.trust import trusted_names

CONFIG = "config.yaml"

DECISIVE = ("checkpoint", "hashes", "structure", "format", "charge_key", "simulation", "engine", "dtype", "seed")
"""Settings that make a simulation what it is: the same command in the same folder continues it."""

MAY_CHANGE = ("resume", "device", "trust", "simulation.steps", "simulation.restart_every")
MAY_CHANGE_LIMITS = ("simulation.max_", "simulation.uncertainty.")
"""Settings that may be given with resume=, since the trajectory does not depend on them."""


def run_simulation(config: DictConfig, find_checkpoints: Callable[[DictConfig], Sequence[Path]]) -> None:
    """Start the simulation of a configuration, or continue that of the folder `resume`.

    Parameters
    ----------
    config : conf/simulate.yaml.
    find_checkpoints : gives the checkpoints that a configuration names.

    Raises
    ------
    InputError : a setting, checkpoint or structure cannot be used, or the simulation stopped by itself.
    """
    if config.resume:
        simulation = _continued(Path(config.resume).absolute(), _given(), config.trust)
    else:
        simulation = _begun(config, find_checkpoints)
    print(_introduction(simulation), flush=True)
    print(simulation.run(), flush=True)


def _begun(config: DictConfig, find_checkpoints: Callable[[DictConfig], Sequence[Path]]) -> Simulation:
    settings, make_engine = _settings(config), _engine(config)
    folder = Path(str(config.folder)).absolute()
    config = _with_files(config, find_checkpoints(config))
    if (folder / RESTART).exists():
        _check_same_settings(config, folder)
        return _continued(folder, [], config.trust)
    calculator = _calculator(config, settings)
    charge_key = calculator.evaluator.charge_key
    atoms = first_atoms(config.structure, settings.frame, config.format, charge_key)
    calculator.evaluator.structure(atoms, str(config.structure))  # refused by the name of its file
    simulation = Simulation(atoms, calculator, settings, folder, make_engine)
    _save(config, folder)
    simulation.begin()
    return simulation


def _save(config: DictConfig, folder: Path) -> None:
    """Keep the configuration but what is trusted, which the command line alone says."""
    kept = OmegaConf.masked_copy(config, [name for name in config if name not in ("trust", "resume")])
    try:
        OmegaConf.save(kept, folder / CONFIG)
    except OSError as error:
        raise unwritable(folder / CONFIG, error) from error


def _continued(folder: Path, given: Sequence[str], trust: ListConfig | str) -> Simulation:
    state = RestartState.read(folder)
    config = _resumed(folder, given)
    config.trust = trust
    _check_same_checkpoints(config, folder)
    settings, make_engine = _settings(config), _engine(config)
    calculator = _calculator(config, settings)
    atoms = first_atoms(folder / START, charge_key=calculator.evaluator.charge_key)
    simulation = Simulation(atoms, calculator, settings, folder, make_engine)
    simulation.continue_from(state)
    if given:
        _save(config, folder)
    return simulation


def _calculator(config: DictConfig, settings: SimulationSettings) -> SOGNetCalculator:
    checkpoints = list(config.checkpoint)
    models = checkpoints[0] if len(checkpoints) == 1 else checkpoints
    trust, field = trusted_names(config.trust), settings.field and list(settings.field)
    return SOGNetCalculator(models, config.device, config.dtype, config.charge_key, trust, field)


def _engine(config: DictConfig) -> MakeEngine:
    return find_engine(str(config.engine), trusted_names(config.trust))


def _settings(config: DictConfig) -> SimulationSettings:
    values = OmegaConf.to_container(config.simulation, resolve=True)
    return SimulationSettings.of(values | {"seed": config.seed})


def _with_files(config: DictConfig, checkpoints: Sequence[Path]) -> DictConfig:
    """The configuration with absolute paths, and hashes that tell whether the checkpoints are the same later."""
    if not config.structure:
        raise InputError("sognet simulate needs structure=<file> to start from")
    files = [str(path.absolute()) for path in checkpoints]
    if missing := [file for file in files if not Path(file).is_file()]:
        raise InputError(f"{missing[0]}: no such checkpoint")
    config = OmegaConf.create(OmegaConf.to_container(config, resolve=True, throw_on_missing=False))
    config.checkpoint, config.structure = files, str(Path(config.structure).absolute())
    config.hashes = [_hash(path) for path in files]
    return config


def _resumed(folder: Path, given: Sequence[str]) -> DictConfig:
    """Configuration of a simulation to be continued, with what may be changed."""
    path = folder / CONFIG
    if not path.is_file():
        raise InputError(f"{folder}: no {CONFIG}; resume=<folder> needs the folder of a simulation")
    config = with_new_names(OmegaConf.load(path))
    for override in OverridesParser.create().parse_overrides(list(given)):
        name = override.key_or_group
        if name.startswith("paths.") or name in ("resume", "trust"):
            continue
        if not override.is_delete() and OmegaConf.select(config, name) == override.value():
            continue
        if (name not in MAY_CHANGE and not name.startswith(MAY_CHANGE_LIMITS)) or override.is_delete():
            raise InputError(
                f"{name} cannot be changed when a simulation is continued; resume=... goes with "
                f"{', '.join(MAY_CHANGE[1:])}, {' and '.join(f'{name}...' for name in MAY_CHANGE_LIMITS)} only"
            )
        OmegaConf.update(config, name, override.value(), force_add=True)
    return config


def _check_same_settings(config: DictConfig, folder: Path) -> None:
    """Raise an InputError where a folder has the simulation of another command."""
    saved = with_new_names(OmegaConf.load(folder / CONFIG) if (folder / CONFIG).is_file() else OmegaConf.create())
    differing = [name for name in DECISIVE if saved.get(name) != config.get(name)]
    if "simulation" in differing and "simulation" in saved and _settings(saved) == _settings(config):
        differing.remove("simulation")  # one has values that the other leaves at their defaults
    if differing:
        named = sorted({"checkpoint" if name == "hashes" else name for name in differing})
        raise InputError(
            f"{folder}: has a simulation with another {', '.join(named)}; continue it with resume={folder}, or "
            "choose another hydra.run.dir"
        )


def _check_same_checkpoints(config: DictConfig, folder: Path) -> None:
    for path, expected in zip(config.checkpoint, config.hashes, strict=True):
        if not Path(path).is_file():
            raise InputError(f"{path}: the checkpoint of {folder} is not there any more; put it back")
        if _hash(path) != expected:
            raise InputError(
                f"{path}: another checkpoint than that of {folder}, so the trajectory would be another; start a new "
                f"simulation with structure={folder}/trajectory.{config.simulation.get('trajectory', 'extxyz')}"
            )


def _hash(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _given() -> list[str]:
    if not HydraConfig.initialized():
        return []
    overrides: ListConfig = HydraConfig.get().overrides.task
    return list(overrides)


def works_along_periodic(simulation: Simulation) -> bool:
    """Whether a field has a part along periodic directions, where its work is no part of the energy."""
    atoms = simulation.atoms
    field = simulation.calculator.evaluator.field_of(atoms, "the first structure")
    return field is not None and bool((np.abs(atoms.cell.array[atoms.pbc] @ field) > 1e-12).any())


def _introduction(simulation: Simulation) -> str:
    settings, step = simulation.settings, simulation.step
    left, end = settings.steps - step, f"everything goes to {simulation.folder}"
    n_atoms = len(simulation.atoms)
    atoms = f"{n_atoms} atom{'s' if n_atoms > 1 else ''}, {settings.ensemble}"
    if settings.relaxes:
        return f"{atoms}: at most {left} steps; {end}"
    bath = f" at {settings.temperature:g} K" if settings.ensemble != "nve" else ""
    drawn = f"velocities drawn at {settings.temperature:g} K, seed={settings.seed}"
    if works_along_periodic(simulation):
        end += "; the field has forces along periodic directions and no energy there, so that none is conserved"
    velocities = "velocities of the file" if simulation.has_own_velocities else drawn
    begun = f"continued from step {step}" if step else velocities
    return f"{atoms}{bath}: {left} steps of {settings.timestep:g} fs, {begun}; {end}"
