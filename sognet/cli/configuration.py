"""The values that a command line can set, read from the configuration groups."""

import difflib
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

PACKAGED = Path(__file__).parents[1] / "conf"
CONFIGURATION = PACKAGED if PACKAGED.is_dir() else Path(__file__).parents[2] / "conf"
"""Folder of the configuration groups, inside the wheel or beside the package."""

GLOBAL = "# @package _global_"
"""First line of files whose values are set where they belong, not below the group's name."""

OF_THIS_MACHINE = "local"
"""Group that is not part of the package."""

OF_A_RUN = ("evaluate", "inspect")
"""Commands whose data set is that of the run where none is named."""

PAGE_START = """# Configuration

Written by `sognet configuration`. `group=option` chooses one of the files below, `group.name=value` sets a value in it;
files of `experiment`, `hparams_search` and `debug` set values of the other groups. A value that another one follows is
written `${name}`.
"""


def groups() -> dict[str, list[str]]:
    """Options of each group."""
    found: dict[str, list[str]] = {}
    for file in sorted(CONFIGURATION.rglob("*.yaml")):
        if file.parent not in (CONFIGURATION, CONFIGURATION / OF_THIS_MACHINE):
            found.setdefault(str(file.parent.relative_to(CONFIGURATION)), []).append(file.stem)
    return found


def values() -> list[str]:
    """Dotted names of all values of all options, and the names of the groups."""
    names: dict[str, None] = dict.fromkeys(groups())
    for file in sorted(CONFIGURATION.rglob("*.yaml")):
        group = () if file.read_text().startswith(GLOBAL) else file.parent.relative_to(CONFIGURATION).parts
        names |= dict.fromkeys(_names(OmegaConf.load(file), ".".join(group)))
    return list(names)


def nearest(overrides: Sequence[str]) -> dict[str, str]:
    """What was probably meant by names on a command line that do not exist. Settings that are added to a `_target_` of
    one's own may have any name.
    """
    known = values()
    names = [override.lstrip("+~").partition("=")[0].partition("@")[0] for override in overrides]
    own = tuple(name.removesuffix("_target_") for name in names if name.endswith("._target_"))
    meant = {}
    for override, name in zip(overrides, names, strict=True):
        if override.startswith("-") or name in known or (own and override.startswith("+") and name.startswith(own)):
            continue
        end = name.rpartition(".")[2]
        last = [k for k in known if k.rpartition(".")[2] == end and end != "_target_"]  # which every group has
        if close := last or difflib.get_close_matches(name, known, n=1, cutoff=0.7):
            meant[name] = close[0]
    return meant


def implied(command: str, overrides: Sequence[str]) -> list[str]:
    """Overrides that others imply: `dataset.path=...` is of files, as for training."""
    if command not in OF_A_RUN or any(o.startswith("dataset=") for o in overrides):
        return []
    return ["dataset=files"] if any(o.startswith("dataset.") for o in overrides) else []


def page() -> str:
    """All groups with their options, values and comments, in Markdown."""
    parts = [PAGE_START]
    commands = ["train", *sorted(f.stem for f in CONFIGURATION.glob("*.yaml") if f.stem != "train")]
    for group, options in {"": commands, **groups()}.items():
        parts.append(f"## {group}\n" if group else "## Outside of the groups\n")
        for option in options:
            text = (CONFIGURATION / group / f"{option}.yaml").read_text().replace(f"{GLOBAL}\n", "").strip()
            parts.append(f"`{group}={option}`\n" if group else f"`sognet {option.replace('_', ' ')}`\n")
            parts.append(f"```yaml\n{text}\n```\n")
    return "\n".join(parts).rstrip()


def _names(config: DictConfig, prefix: str) -> list[str]:
    names = []
    for name, value in config.items_ex(resolve=False) if isinstance(config, DictConfig) else ():
        if name in ("defaults", "hydra"):
            continue
        dotted = f"{prefix}.{name}" if prefix else str(name)
        names += [dotted, *(_names(value, dotted) if isinstance(value, DictConfig) else [])]
    return names
