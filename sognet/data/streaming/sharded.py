"""Prepared data sets: `dataset=stream dataset.path=<folder or s3://...>`, read block by block in constant memory."""

import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import fsspec
import numpy as np
import pooch

from sognet.data.split_contents import Contents
from sognet.data.split_statistics import Statistics
from sognet.data.splits import Splits
from sognet.data.structure import Structure
from sognet.errors import InputError
from sognet.extras import require

if TYPE_CHECKING:
    from sognet.data.baseline_labels import BaselineLabels
    from sognet.data.streaming.baseline_blocks import BaselineBlocks
    from sognet.data.streaming.shards import Block

FORMAT = 1
"""Version of what `sognet data prepare` writes."""

INDEX = "index.json"


def sizes_file(split: str) -> str:
    """Name of the file with the sizes of a split's structures."""
    return f"{split}-sizes.parquet"


def stream(path: str | None, shuffle_atoms: int = 500_000, cache: str | None = None) -> Splits:
    """Splits of a data set that `sognet data prepare` has written, none of them read yet.

    Parameters
    ----------
    path : folder, or address of an object store that fsspec knows (`s3://bucket/folder`).
    shuffle_atoms : atoms of the structures that are shuffled among each other and may be held in memory by a process.
    cache : folder for the shards of an object store, which are fetched when they are first needed; by default the
        user's cache.

    Raises
    ------
    InputError : no prepared data set there, one of another version, or a missing package.
    """
    if path is None:
        raise InputError("dataset=stream needs dataset.path=<folder written by sognet data prepare>")
    require("pyarrow", "stream")
    folder = _Local(Path(path).absolute()) if "://" not in path else _Fetched(path, cache)
    index = json.loads(folder.text(INDEX))
    if index.get("format") != FORMAT:
        raise InputError(
            f"{path}: prepared in format {index.get('format')}, this version reads format {FORMAT}; prepare it again"
        )
    splits = {
        name: ShardedStructures(folder, name, entry, index["cutoff"], shuffle_atoms)
        for name, entry in index["splits"].items()
    }
    return Splits(index["name"], **splits, statistics=Statistics(**index["statistics"]))


class ShardedStructures(Sequence[Structure]):
    """Structures of one split of a prepared data set, read when they are asked for.

    The blocks read last stay in memory, as many as hold two windows of the shuffling, so that whoever follows the
    shuffled order reads every block once.

    Attributes
    ----------
    contents : sizes and targets, as counted at preparation.
    slabs : how many `structures` are periodic along some directions only, and the source of the `first`; None where an
        earlier version has prepared them.
    blocks : (n_blocks + 1,), the first structure of each block, and their number.
    shuffle_atoms : atoms of a window of the shuffling.
    baselines : where the values of baselines that the structures shall bring are, by the baseline's identity.
    """

    def __init__(
        self, folder: "_Local | _Fetched", split: str, entry: dict[str, Any], cutoff: float | None, shuffle_atoms: int
    ) -> None:
        from sognet.data.streaming.shards import read_sizes

        self.folder = folder
        self.files = [(shard["file"], number) for shard in entry["shards"] for number in range(len(shard["blocks"]))]
        self.blocks = np.cumsum([0] + [n for shard in entry["shards"] for n in shard["blocks"]])
        n_atoms, self._n_edges = read_sizes(folder.path(sizes_file(split)))
        self.contents = Contents(n_atoms, entry["labelled"], entry["first_without"])
        self.slabs = entry.get("slabs")
        self.cutoff = cutoff
        self.shuffle_atoms = shuffle_atoms
        self.baselines: dict[str, BaselineBlocks] = {}
        self._held: OrderedDict[int, Block] = OrderedDict()
        self._held_labels: dict[tuple[int, str], list[BaselineLabels]] = {}
        self._held_atoms = 0

    def __len__(self) -> int:
        return int(self.blocks[-1])

    @overload
    def __getitem__(self, number: int) -> Structure: ...
    @overload
    def __getitem__(self, number: slice) -> list[Structure]: ...
    def __getitem__(self, number: int | slice) -> Structure | list[Structure]:
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        if not -len(self) <= number < len(self):
            raise IndexError(f"structure {number} of {len(self)}")
        number %= len(self)
        block = int(np.searchsorted(self.blocks, number, "right")) - 1
        within = number - int(self.blocks[block])
        structure = self._block(block).structure(within)
        for identity in self.baselines:
            structure.baselines[identity] = self._labels(block, identity)[within]
        return structure

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_held": OrderedDict(), "_held_labels": {}, "_held_atoms": 0}

    def block_of_shard(self, block: int) -> tuple[Path, int]:
        """File of a block, and its number in the file."""
        file, within = self.files[block]
        return self.folder.path(file), within

    def members(self, block: int) -> range:
        """Numbers of the structures of a block."""
        return range(*self.blocks[block : block + 2].tolist())

    def n_edges(self, cutoff: float) -> np.ndarray:
        """Edges of each structure's graph, (n_structures,), as counted at preparation.

        Raises
        ------
        InputError : they were not counted, or for another cutoff.
        """
        if self._n_edges is None or self.cutoff != cutoff:
            raise InputError(
                f"batch.max_edges: the data set was prepared with cutoff={self.cutoff or 'null'}, the model's is "
                f"{cutoff} Å; prepare it with cutoff={cutoff}, or set batch.max_atoms instead"
            )
        return self._n_edges

    def _block(self, number: int) -> "Block":
        from sognet.data.streaming.shards import read_block

        if number in self._held:
            self._held.move_to_end(number)
            return self._held[number]
        block = self._held[number] = read_block(*self.block_of_shard(number))
        self._held_atoms += self._atoms(number)
        while self._held_atoms > 2 * self.shuffle_atoms and len(self._held) > 1:
            left, _ = self._held.popitem(last=False)
            self._held_atoms -= self._atoms(left)
            for identity in self.baselines:
                self._held_labels.pop((left, identity), None)
        return block

    def _labels(self, block: int, identity: str) -> "list[BaselineLabels]":
        """What a baseline gives for the structures of a block that is held."""
        if (block, identity) not in self._held_labels:
            read = self.baselines[identity].read(*self.block_of_shard(block))
            self._held_labels[block, identity] = read
        return self._held_labels[block, identity]

    def _atoms(self, block: int) -> int:
        return int(self.contents.n_atoms[self.blocks[block] : self.blocks[block + 1]].sum())


class _Local:
    """Files of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        return self.folder / name

    def text(self, name: str) -> str:
        try:
            return self.path(name).read_text()
        except FileNotFoundError:
            raise InputError(
                f"{self.folder}: no {name}, so no finished data set; run sognet data prepare folder={self.folder}"
            ) from None


class _Fetched:
    """Files below an address of an object store, kept in a folder of this machine once they have been fetched."""

    def __init__(self, address: str, cache: str | None) -> None:
        self.address = address.rstrip("/")
        self.store = partial(fsspec.url_to_fs, self.address)
        text = self.text(INDEX)
        version = hashlib.sha256(f"{self.address} {text}".encode()).hexdigest()[:16]
        self.folder = Path(cache or pooch.os_cache("sognet") / "stream") / version

    def path(self, name: str) -> Path:
        file = self.folder / name
        if not file.is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            partial_file = self.folder / f".{name}.{os.getpid()}.part"
            try:
                store, root = self.store()
                store.get_file(f"{root}/{name}", str(partial_file))
            except Exception as error:  # of many libraries
                partial_file.unlink(missing_ok=True)
                raise InputError(f"{self.address}/{name}: cannot be fetched to {self.folder} ({error})") from error
            partial_file.replace(file)
        return file

    def text(self, name: str) -> str:
        try:
            store, root = self.store()
            return store.cat_file(f"{root}/{name}").decode()
        except Exception as error:  # of many libraries
            raise InputError(f"{self.address}/{name}: cannot be read ({error})") from error
