"""`sognet data prepare`: from a data set to a folder of shards and an index, from which `dataset=stream` trains.

A shard gets its name when it is whole and on the disk, and the index is written last, so that whatever interrupts the
preparation leaves nothing broken behind; the same command goes on with the shards that are missing.
"""

import errno
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from omegaconf import DictConfig
from rich.progress import track

from sognet.data.datasets.named import read_splits
from sognet.data.graph import build_graph
from sognet.data.split_contents import Contents, counted
from sognet.data.split_statistics import statistics
from sognet.data.splits import Splits, fill_defaults
from sognet.data.streaming.sharded import FORMAT, INDEX, sizes_file
from sognet.data.streaming.shards import digest, digest_of, table, write_shard
from sognet.data.structure import Structure
from sognet.errors import InputError
from sognet.targets import add_targets


def run(config: DictConfig) -> None:
    """`sognet data prepare`.

    Raises
    ------
    InputError : no folder, the data cannot be read, or the folder not be written.
    """
    if config.folder is None:
        raise InputError("sognet data prepare needs folder=<where to write>")
    folder = Path(config.folder).absolute()
    fill_defaults(config.dataset)
    add_targets(config.targets)
    splits = read_splits(config.dataset, config.trust)
    prepare(splits, folder, config.cutoff, config.shard_atoms, config.block_atoms)
    index = json.loads((folder / INDEX).read_text())
    sizes = ", ".join(f"{split['structures']} {name}" for name, split in index["splits"].items())
    print(f"{sizes} structures are in {folder}; train with dataset=stream dataset.path={folder}")
    if n_slabs := sum(split["slabs"]["structures"] for split in index["splits"].values()):
        print(f"{n_slabs} of them are periodic along some directions only")


def prepare(
    splits: Splits, folder: Path, cutoff: float | None = None, shard_atoms: int = 500_000, block_atoms: int = 10_000
) -> None:
    """Write the shards of every split, then the index with the statistics of the training split.

    Parameters
    ----------
    splits : the data set; its structures are taken one after the other.
    folder : where to; shards of an interrupted preparation of the same structures are kept.
    cutoff : Å, of the model, to count edges for `batch.max_edges`; None: they are not counted.
    shard_atoms : of a file.
    block_atoms : of the part of a file that is read at once.

    Raises
    ------
    InputError : the folder holds a finished data set or one of other structures, another process prepares it, or it
        cannot be written.
    """
    if splits.weights is not None:
        raise InputError("prepared data sets have no weights; leave those of dataset.sources out")
    with _alone_in(folder):
        if (folder / INDEX).exists():
            raise InputError(f"{folder} already holds a prepared data set; choose another folder or delete this one")
        for left_over in folder.glob(".*.part"):
            left_over.unlink()
        index: dict[str, Any] = {"format": FORMAT, "name": splits.name, "cutoff": cutoff}
        index["statistics"] = asdict(statistics(splits.train, cutoff))
        index["splits"] = {
            name: _write_split(name, structures, folder, cutoff, shard_atoms, block_atoms)
            for name, structures in splits
        }
        _write_whole(folder / INDEX, lambda file: file.write(json.dumps(index).encode()))


def _write_split(
    name: str, structures: Sequence[Structure], folder: Path, cutoff: float | None, shard_atoms: int, block_atoms: int
) -> dict[str, Any]:
    """Write the shards of a split and the sizes of its structures; its entry in the index."""
    shards: list[dict[str, Any]] = []
    found: list[Contents] = []
    n_edges: list[int] = []
    slabs: list[str] = []
    shown = track(structures, f"preparing {name}", transient=True, disable=not sys.stdout.isatty())
    for members in _cut(shown, shard_atoms):
        blocks = [len(b) for b in _cut(members, block_atoms)]
        file = folder / f"{name}-{len(shards):05d}.parquet"
        _write_missing_shard(file, table(members), blocks)
        shards.append({"file": file.name, "blocks": blocks})
        found.append(counted(members))
        slabs += [s.source for s in members if s.pbc.any() != s.pbc.all()]
        if cutoff is not None:
            n_edges += [build_graph(s, cutoff).edge_index.shape[1] for s in members]
    sizes = {"n_atoms": pa.array(np.concatenate([f.n_atoms for f in found]), pa.uint32())}
    if cutoff is not None:
        sizes["n_edges"] = pa.array(n_edges, pa.uint32())
    _write_whole(folder / sizes_file(name), lambda file: pq.write_table(pa.table(sizes), file, compression="zstd"))
    first_without: dict[str, str] = {}
    for contents in reversed(found):
        first_without |= contents.first_without
    return {
        "structures": len(structures),
        "shards": shards,
        "labelled": {target: sum(f.labelled[target] for f in found) for target in found[0].labelled},
        "first_without": first_without,
        "slabs": {"structures": len(slabs), "first": slabs[0] if slabs else None},
    }


def _write_missing_shard(file: Path, content: pa.Table, blocks: Sequence[int]) -> None:
    if file.exists():
        if digest_of(file) != digest(content, blocks):
            raise InputError(
                f"{file} is of other structures or settings than those to prepare now; choose another folder or "
                f"delete {file.parent}"
            )
        return
    _write_whole(file, lambda target: write_shard(target, content, blocks))


def _cut(structures: Sequence[Structure], atoms: int) -> Iterator[list[Structure]]:
    """Consecutive structures with at most so many atoms together, or a single one with more."""
    members: list[Structure] = []
    total = 0
    for structure in structures:
        if members and total + len(structure) > atoms:
            yield members
            members, total = [], 0
        members.append(structure)
        total += len(structure)
    if members:
        yield members


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which the system releases however the process ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise InputError(f"{folder}: another process is preparing this folder; wait for it or choose another") from None
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error})") from error


def _write_whole(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file under another name, make sure that it is on the disk, and give it its name.

    Raises
    ------
    InputError : it cannot be written; what was written of it is removed.
    """
    partial = path.with_name(f".{path.name}.part")
    try:
        with partial.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else str(error)
        raise InputError(
            f"{path}: cannot be written, {reason}; free some space or choose another folder, and run the same command "
            "again: the shards that are there are kept"
        ) from error
