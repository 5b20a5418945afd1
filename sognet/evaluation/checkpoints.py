"""The checkpoints that a command line names: files, patterns, folders of runs and of sweeps."""

import glob
import re
from collections.abc import Sequence
from os.path import commonpath
from pathlib import Path

from omegaconf import DictConfig, ListConfig, OmegaConf

from sognet.errors import InputError
from sognet.model.checkpoint import BEST


def find_checkpoints(config: DictConfig) -> list[Path]:
    """Checkpoints that `checkpoint` names: a file, a pattern (`outputs/*/checkpoints/last.ckpt`), a folder, which
    stands for the best checkpoint of each run in it, or a list of these; each once, in the order given, those of a
    folder or pattern sorted.

    Raises
    ------
    InputError : a pattern or folder without a checkpoint, or nothing named.
    """
    named = None if OmegaConf.is_missing(config, "checkpoint") else config.checkpoint
    names = [n for n in (named if isinstance(named, ListConfig) else [named]) if n]
    found: dict[Path, Path] = {}
    for name in map(str, names):
        if Path(name).is_dir():
            best = Path(name) / BEST
            files = [best] if best.is_file() else sorted(Path(name).rglob(BEST), key=_by_number)
        elif Path(name).is_file() or not glob.has_magic(name):
            files = [Path(name)]
        else:
            files = sorted(map(Path, glob.glob(name, recursive=True)), key=_by_number)
        if not files:
            raise InputError(f"checkpoint={name}: no run with {BEST} below this folder, or no file of this pattern")
        for file in files:
            found.setdefault(file.resolve(), file)
    if not found:
        raise InputError("name a checkpoint, checkpoint=outputs/.../best.ckpt, or several, checkpoint=[a.ckpt,b.ckpt]")
    return list(found.values())


def short_names(checkpoints: Sequence[Path]) -> list[str]:
    """What tells checkpoints apart: their paths without what they have in common at the start and at the end."""
    if len(checkpoints) == 1:
        return [checkpoints[0].stem]
    absolute = [file.absolute().with_suffix("") for file in checkpoints]
    shared = Path(commonpath(absolute))
    parts = [file.relative_to(shared).parts or (file.name,) for file in absolute]
    while len({p[-1] for p in parts}) == 1 and all(len(p) > 1 for p in parts):
        parts = [p[:-1] for p in parts]
    return ["/".join(p) for p in parts]


def _by_number(path: Path) -> list[str | int]:
    """Sorts member_10 behind member_9."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", str(path))]
