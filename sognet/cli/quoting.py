"""Arguments of the command line as Hydra's grammar wants them: paths of any characters, and names that are numbers."""

import os
from collections.abc import Iterator, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from sognet.errors import InputError

PATHS = {
    *("checkpoint", "data", "dir", "folder", "name", "outputs", "path", "resume", "root", "start_from"),
    *("structure", "test_path", "trajectory", "val_path"),
}
"""Last parts of the names of settings that hold a path or a name: whatever is given is text."""

PATTERNS = {"filename"}
"""Last parts of the names of settings whose braces are no mapping: `{epoch}`, which a shell takes the quotes from."""

FLAGS_WITH_VALUE = {
    *("--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd", "--package", "-p", "--info", "-i"),
    *("--cfg", "-c"),
    *("--experimental-rerun",),
}


def flags_first(arguments: Sequence[str]) -> list[str]:
    """The arguments of a command, flags before settings: Hydra takes settings from one place of the line only."""
    flags, settings, before = [], [], ""
    for argument in arguments:
        (flags if argument.startswith("-") or before in FLAGS_WITH_VALUE else settings).append(argument)
        before = argument
    return flags + settings


def quote_arguments(arguments: Sequence[str]) -> list[str]:
    """The arguments of a command, with values quoted where Hydra's grammar would not read them as they are.

    Raises
    ------
    InputError : an argument that is no setting, or a list or mapping that cannot be read; says how to write it.
    """
    sweeps = bool({"-m", "--multirun"} & set(arguments)) or "hydra.mode=MULTIRUN" in arguments
    found, before = [], ""
    for argument in arguments:
        taken = argument.startswith(("-", "~")) or before in FLAGS_WITH_VALUE
        found.append(argument if taken else _quoted_argument(argument, sweeps))
        before = argument
    return found


def quoted(value: str) -> str:
    """Text in quotes, as Hydra reads it."""
    mark = '"' if "'" in value and '"' not in value else "'"
    escaped = value.replace(mark, f"\\{mark}")
    return f"{mark}{escaped}{chr(92) if value.endswith(chr(92)) else ''}{mark}"


def _quoted_argument(argument: str, sweeps: bool) -> str:
    name, equals, value = argument.partition("=")
    if not equals:
        raise InputError(
            f"{argument}: not a setting, name=value; a value with spaces needs quotes in the shell, "
            "'dataset.path=my file.xyz'"
        )
    last_part = name.lstrip("+").rpartition(".")[2]
    is_path = last_part in PATHS and "/" not in name
    if is_path and value.startswith("~"):
        value = os.path.expanduser(value)
    if value[:1] in ("'", '"') or not value:
        return f"{name}={value}"
    if (is_path and os.path.lexists(value)) or (last_part in PATTERNS and value[0] == "{"):
        return f"{name}={quoted(value)}"
    override = _parsed(f"{name}={value}")
    if override is not None:
        number = is_path and not override.is_sweep_override() and isinstance(override.value(), int | float)
        return f"{name}={quoted(value) if number else value}"
    if is_path and value[0] == "[" and value[-1] == "]" and not set(value[1:-1]) & set("[]{}'\""):
        return f"{name}=[{','.join(_each_quoted(value[1:-1]))}]"
    if value[0] in "[{":
        raise InputError(
            f"{argument}: cannot be read; put quotes around text with other characters than letters, digits and "
            f"/-+.$%*@?|: '{name}=[\"file (1).xyz\"]'"
        )
    return f"{name}={','.join(_each_quoted(value)) if sweeps else quoted(value)}"


def _each_quoted(values: str) -> Iterator[str]:
    return (quoted(os.path.expanduser(v.strip())) for v in values.split(","))


def _parsed(argument: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(argument)
    except HydraException:
        return None
