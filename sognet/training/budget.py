"""How long a run trains: `time`, `epochs` or `steps` at the root of the configuration, in the trainer's terms."""

import re
from collections.abc import Collection, Iterator
from datetime import timedelta
from typing import Any

from omegaconf import DictConfig

from sognet.errors import InputError

LENGTHS = ("time", "epochs", "steps")
"""Settings at the root, of which a run takes one."""

LIMITS = {"time": "max_time", "epochs": "max_epochs", "steps": "max_steps"}
"""What the trainer calls them. The first of its limits that is reached ends a run."""

AUTOMATIC = "auto"
"""trainer.max_epochs of a run without a length: as many as follow from the number of structures."""

UNITS = {"d": 86400.0, "h": 3600.0, "min": 60.0, "m": 60.0, "s": 1.0}

FORMS = "20min, 2h, 90s, 1h30min, 00:20:00 (h:min:s) or 1-12:00:00 (days first)"


def seconds_of(time: Any, name: str = "time") -> float:
    """Seconds of a time as people, SLURM or Lightning write it.

    Raises
    ------
    InputError : it is none, or not positive; `name` is the setting that has it.
    """
    if isinstance(time, timedelta):
        found: float | None = time.total_seconds()
    elif isinstance(time, dict | DictConfig):
        found = timedelta(**{str(unit): value for unit, value in time.items()}).total_seconds()
    else:
        found = _of_text(str(time).strip().lower())
    if found is None:
        raise InputError(f"{name}={time}: write a time with its unit, such as {FORMS}; in a file, in quotes")
    if found <= 0:
        raise InputError(f"{name}={time}: a training takes longer than that")
    return found


def _of_text(text: str) -> float | None:
    if match := re.fullmatch(r"(?:(\d+)-)?(\d+(?::\d+)*)", text):
        days, fields = match[1], [int(field) for field in match[2].split(":")]
        if days is not None and len(fields) <= 3:
            fields = [int(days), *fields, *[0] * (3 - len(fields))]
        elif days is not None or not 2 <= len(fields) <= 4:
            return None
        units = (86400, 3600, 60, 1) if len(fields) > 2 else (60, 1)  # 20:00 is 20 minutes, as in SLURM
        return float(sum(f * u for f, u in zip(fields[::-1], units[::-1], strict=False)))
    unit = r"(d|h|min|m|s)(?:ays?|ours?|r|rs|utes?|ins?|ec|ecs|econds?)?"
    part = rf"(\d+(?:\.\d+)?)\s*{unit}"
    if not re.fullmatch(rf"(?:{part}\s*)+", text):
        return None
    return sum(float(value) * UNITS[name] for value, name in re.findall(part, text))


def length_conflicts(config: DictConfig, given: Collection[str] = ()) -> Iterator[str]:
    """What settings of the length of a run say against each other, and what to do.

    Parameters
    ----------
    config : of a run.
    given : dotted names that the command line sets.
    """
    lengths = [name for name in LENGTHS if config.get(name) is not None]
    if len(lengths) > 1:
        yield f"{' and '.join(lengths)} both say how long to train; leave one of them out, or set {lengths[0]}=null"
    limits = [f"trainer.{limit}" for limit in LIMITS.values() if f"trainer.{limit}" in given]
    if lengths and limits:
        yield (
            f"{lengths[0]} and {limits[0]} both say how long to train; leave one of them out, or set {lengths[0]}=null"
        )
    if lengths and config.batch.get("stages"):
        yield f"{lengths[0]} and batch.stages both say how long to train; leave one of them out (batch.stages=[])"
    for name in ("epochs", "steps"):
        if (config.get(name) if config.get(name) is not None else 1) < 1:
            yield f"{name}={config[name]}: a training has at least one"
    try:
        for name, value in (("time", config.get("time")), ("trainer.max_time", config.trainer.get("max_time"))):
            if value is not None:
                seconds_of(value, name)
    except InputError as error:
        yield str(error)


def set_limits(config: DictConfig) -> None:
    """Give the trainer the length that the root of the configuration says, and no other."""
    for name, limit in LIMITS.items():
        if config.get(name) is not None:
            config.trainer.update({"max_epochs": -1, "max_steps": -1, "max_time": None} | {limit: config[name]})


def change_length(config: DictConfig, changed: Collection[str]) -> None:
    """Have the length that the command line gives to a resumed run take the place of the one that it had.

    Parameters
    ----------
    config : of the run, with what the command line changes.
    changed : dotted names of that.
    """
    if any(f"trainer.{limit}" in changed for limit in LIMITS.values()):
        if any(config.get(name) is not None for name in LENGTHS):
            for name, limit in LIMITS.items():
                config[name] = config[name] if name in changed else None
                if f"trainer.{limit}" not in changed:
                    config.trainer[limit] = None if name == "time" else -1
    elif any(name in changed for name in LENGTHS):
        for name in LENGTHS:
            config[name] = config[name] if name in changed else None
    set_limits(config)
