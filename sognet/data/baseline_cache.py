"""What a baseline gives for structures, kept on disk under the hash of each geometry."""

import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4
from zipfile import BadZipFile

import numpy as np
import pooch
from filelock import FileLock

from sognet.data.baseline_labels import BaselineLabels, geometry_key
from sognet.data.structure import Structure

logger = logging.getLogger(__name__)

UNREADABLE = (OSError, ValueError, KeyError, EOFError, BadZipFile)
"""What reading a broken file of arrays may raise."""


class BaselineCache:
    """Files of arrays in a folder of a baseline. Each is there whole or not at all, and none is ever changed, so any
    number of processes may read and add.

    Parameters
    ----------
    identity : of the baseline.
    root : folder of data sets (`paths.data`); by default the user's cache. Where it cannot be written to, nothing is
        kept.
    """

    def __init__(self, identity: str, root: str | Path | None = None) -> None:
        self.folder = (Path(root) if root else Path(pooch.os_cache("sognet"))) / "baselines" / identity
        self.writable = True

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from computing the same: they wait, and then find it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / ".lock")
            lock.acquire()
        except OSError as error:
            logger.warning("%s: what the baseline gives is not kept (%s)", self.folder, error)
            self.writable = False
            yield
            return
        try:
            yield
        finally:
            lock.release()

    def find(self, structures: Sequence[Structure]) -> dict[bytes, BaselineLabels]:
        """What is known of structures, by their keys."""
        wanted, found = {geometry_key(s) for s in structures}, {}
        for file in sorted(self.folder.glob("*.npz")):
            if len(found) == len(wanted):
                break
            try:
                with file.open("rb") as opened, np.load(opened, allow_pickle=False) as kept:
                    keys = [key.tobytes() for key in kept["keys"]]
                    chosen = [i for i, key in enumerate(keys) if key in wanted and key not in found]
                    if not chosen:
                        continue
                    labels = as_labels(kept)
            except UNREADABLE as error:
                logger.warning("%s: not read (%s); what it held is computed again", file, error)
                continue
            found |= {keys[i]: labels[i] for i in chosen}
        return found

    def add(self, labels: Mapping[bytes, BaselineLabels]) -> Path | None:
        """Keep labels by key in a file of their own; None where nothing can be kept."""
        if not labels or not self.writable:
            return None
        keys = np.stack([np.frombuffer(key, dtype=np.uint8) for key in labels])
        try:
            file = self.folder / f"{uuid4().hex}.npz"
            write_whole(file, {"keys": keys} | as_arrays(list(labels.values())))
            return file
        except OSError as error:
            logger.warning("%s: what the baseline gives is not kept (%s)", self.folder, error)
            self.writable = False
            return None


def as_arrays(labels: Sequence[BaselineLabels]) -> dict[str, np.ndarray]:
    """Labels of structures one after the other: `n_atoms` and `energy` (n,), `forces` (N, 3), `stress` (n, 3, 3)."""
    return {
        "n_atoms": np.array([len(one.forces) for one in labels]),
        "energy": np.array([one.energy for one in labels]),
        "forces": np.concatenate([one.forces for one in labels]),
        "stress": np.stack([one.stress for one in labels]),
    }


def as_labels(arrays: Mapping[str, np.ndarray]) -> list[BaselineLabels]:
    """Labels of such arrays."""
    forces = np.split(arrays["forces"], np.cumsum(arrays["n_atoms"])[:-1])
    energies, stresses = arrays["energy"].tolist(), arrays["stress"]
    return [BaselineLabels(*values) for values in zip(energies, forces, stresses, strict=True)]


def write_whole(file: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays to a file that is there whole or not at all."""
    with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".part", delete=False) as partial:
        np.savez(partial, **arrays)
    os.replace(partial.name, file)
