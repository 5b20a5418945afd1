"""`sognet analyze`: reads a trajectory once, and writes a table and a figure of each quantity."""

import json
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

from omegaconf import DictConfig, ListConfig, OmegaConf

from sognet.analysis.figures import save_figure
from sognet.errors import InputError
from sognet.progress import counted
from sognet.trajectories.figures import result_figure
from sognet.trajectories.frames import continuous, frames_of
from sognet.trajectories.quantities import CONTINUOUS, choose
from sognet.trajectories.results import Quantity, Result
from sognet.trajectories.tables import plain, write_table


def analyze_trajectory(config: DictConfig) -> None:
    """Analyze a trajectory: `<quantity>.csv`, `<quantity>.png` and `analysis.json` in the folder.

    Parameters
    ----------
    config : conf/analyze.yaml.

    Raises
    ------
    InputError : the trajectory cannot be read, or lacks what a quantity needs.
    """
    if OmegaConf.is_missing(config, "trajectory"):
        raise InputError("sognet analyze needs trajectory=<file>")
    check_numbers(config)
    charges = OmegaConf.to_container(config.charges) if isinstance(config.charges, DictConfig) else config.charges
    path = config.trajectory if isinstance(config.trajectory, str) else list(config.trajectory)
    frames = frames_of(path, config.format, config.skip, config.every, config.interval, charges, config.temperature)
    first = next(frames)
    quantities, left_out = choose(first, config)
    frames = chain([first], frames)
    if any(name in CONTINUOUS for name in quantities):
        frames = continuous(frames, config.wrapped)
    for frame in counted(frames, "frames"):
        for quantity in quantities.values():
            quantity.add(frame)
    results = results_of(quantities, left_out, config.quantities is not None)
    folder = Path(str(config.folder)).absolute()
    print(f"{first.source.rpartition(', frame')[0]}: {len(first)} atoms, {frame.index + 1} frames", flush=True)
    write_results(results, folder, {"trajectory": path, "frames": frame.index + 1, "atoms": len(first)})
    for name, reason in left_out.items():
        print(f"left out: {name} {reason}")
    print(folder)


def check_numbers(config: DictConfig) -> None:
    """Raise an InputError where a number makes no sense."""
    for name, least in {"skip": 0, "every": 1, "n_blocks": 2}.items():
        if not isinstance(config[name], int) or config[name] < least:
            raise InputError(f"{name} must be a whole number from {least} on, got {config[name]!r}")
    if config.axis not in (None, 0, 1, 2):
        raise InputError(f"axis must be 0, 1 or 2, the number of a lattice vector, got {config.axis!r}")
    for name in POSITIVE:
        if config[name] is not None and (not isinstance(config[name], int | float) or config[name] <= 0):
            raise InputError(f"{name} must be a positive number, got {config[name]!r}")
    if config.fit is not None and not is_interval(config.fit):
        raise InputError(f"fit must be [first,last] in ps, got {config.fit}")


def is_interval(value: object) -> bool:
    """Whether a value is a list of two numbers, from 0 on, in order."""
    is_pair = isinstance(value, ListConfig | list) and len(value) == 2
    return is_pair and all(isinstance(v, int | float) for v in value) and 0 <= value[0] < value[1]


POSITIVE = ("interval", "temperature", "r_max", "r_width", "z_width", "k_max", "resolution")


def results_of(quantities: Mapping[str, Quantity], left_out: dict[str, str], asked: bool) -> dict[str, Result]:
    """Results by name; what too few frames do not give is left out unless it was asked for."""
    results = {}
    for name, quantity in quantities.items():
        try:
            results[name] = quantity.result()
        except InputError as error:
            if asked:
                raise
            left_out[name] = str(error).removeprefix(f"{name} ")
    return results


def write_results(results: Mapping[str, Result], folder: Path, about: Mapping[str, object]) -> None:
    """Tables, figures and numbers of results; sentences are printed."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, result in results.items():
        for sentence in result.sentences:
            print(sentence, flush=True)
        if result.panels:
            write_table(result, folder / f"{name}.csv")
            save_figure(result_figure(result), folder / f"{name}.png")
    numbers = dict(about) | {name: result.numbers for name, result in results.items()}
    text = json.dumps(plain(numbers), indent=2, ensure_ascii=False)
    (folder / "analysis.json").write_text(f"{text}\n", encoding="utf-8")
