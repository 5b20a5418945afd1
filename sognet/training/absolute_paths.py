"""Paths of a data set, as they are from every folder."""

import glob
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig

PATHS = ("path", "val_path", "test_path", "root")


def make_absolute(dataset: DictConfig) -> None:
    """Make the paths of a dataset group absolute, so that a command in another folder reads the same files.

    What is not there from this folder stays as it is: the address of a store, or a word of an own data set.
    """
    for name in PATHS:
        if dataset.get(name):
            dataset[name] = absolute(dataset[name])
    for source in (dataset.get("sources") or {}).values():
        make_absolute(source)


def absolute(path: Any) -> Any:
    """A path, or a list of paths, made absolute where it is there from this folder."""
    if isinstance(path, ListConfig | list):
        return [absolute(part) for part in path]
    if not isinstance(path, str):
        return path
    here = Path(path).expanduser()
    return str(here.absolute()) if here.exists() or glob.glob(str(here)) else path
