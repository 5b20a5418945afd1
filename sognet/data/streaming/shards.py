"""Parquet files of structures: zstd-compressed columns in double precision, checksummed, in blocks that are read alone.

A block is a row group of a file. What a structure carries beside its reference values (`info` and `arrays`) is kept as
JSON where it consists of plain values.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sognet.data.structure import Structure
from sognet.errors import InputError
from sognet.targets import TARGETS, further_targets

SCHEMA = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("numbers", pa.list_(pa.uint8()), nullable=False),
        pa.field("positions", pa.list_(pa.float64()), nullable=False),
        pa.field("cell", pa.list_(pa.float64()), nullable=False),
        pa.field("pbc", pa.list_(pa.bool_()), nullable=False),
        pa.field("charge", pa.float64(), nullable=False),
        pa.field("energy", pa.float64()),
        pa.field("forces", pa.list_(pa.float64())),
        pa.field("stress", pa.list_(pa.float64())),
        pa.field("info", pa.string(), nullable=False),
        pa.field("arrays", pa.string(), nullable=False),
    ]
)
SPLIT_BYTES = ["positions.list.element", "forces.list.element"]  # compress better byte by byte
DIGEST = b"sognet.digest"
WITHOUT_THREADS = {"pre_buffer": False, "page_checksum_verification": True}
"""Worker processes are forked, and Arrow's threads would not be there any more."""


def table(structures: Sequence[Structure]) -> pa.Table:
    """Columns of structures, with one more for each further target."""
    columns = {
        "source": pa.array([s.source for s in structures], pa.string()),
        "numbers": _lists([s.numbers for s in structures], np.uint8),
        "positions": _lists([s.positions for s in structures], np.float64),
        "cell": _lists([s.cell for s in structures], np.float64),
        "pbc": _lists([s.pbc for s in structures], bool),
        "charge": pa.array([s.charge for s in structures], pa.float64()),
        "energy": pa.array([s.energy for s in structures], pa.float64()),
        "forces": _lists([s.forces for s in structures], np.float64),
        "stress": _lists([s.stress for s in structures], np.float64),
        "info": pa.array([_info_text(s) for s in structures], pa.string()),
        "arrays": pa.array([_arrays_text(s) for s in structures], pa.string()),
    }
    schema = SCHEMA
    for target in further_targets():
        schema = schema.append(pa.field(target.name, pa.list_(pa.float64())))
        columns[target.name] = _lists([s.further.get(target.name) for s in structures], np.float64)
    return pa.table(columns, schema=schema)


def digest(content: pa.Table, blocks: Sequence[int]) -> str:
    """What distinguishes the content of a shard, and its division into blocks, from any other."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, content.schema) as stream:
        stream.write_table(content.combine_chunks())
    hashed = hashlib.sha256(json.dumps([int(b) for b in blocks]).encode())
    hashed.update(sink.getvalue())
    return hashed.hexdigest()


def write_shard(file: BinaryIO, content: pa.Table, blocks: Sequence[int]) -> None:
    """Write a table; `blocks` holds the number of structures of each block."""
    metadata = {DIGEST: digest(content, blocks)}
    with pq.ParquetWriter(
        file,
        content.schema.with_metadata(metadata),
        compression="zstd",
        use_dictionary=False,
        use_byte_stream_split=SPLIT_BYTES,
        write_statistics=False,
        write_page_checksum=True,
    ) as writer:
        start = 0
        for n in blocks:
            writer.write_table(content.slice(start, n).replace_schema_metadata(metadata), row_group_size=n)
            start += n


def digest_of(path: Path) -> str | None:
    """Digest that a shard was written with; None where the file is not a whole shard."""
    try:
        return (pq.read_schema(path).metadata or {}).get(DIGEST, b"").decode() or None
    except (OSError, pa.ArrowInvalid):
        return None


def read_block(path: Path, number: int) -> "Block":
    """Read one block of a shard.

    Raises
    ------
    InputError : the file is missing or damaged.
    """
    try:
        with path.open("rb") as source, pq.ParquetFile(source, **WITHOUT_THREADS) as file:
            return Block(file.read_row_group(number, use_threads=False))
    except FileNotFoundError:
        raise InputError(
            f"{path}: this shard is missing; prepare the data set again, or copy all of its files"
        ) from None
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: this shard is damaged ({error}); prepare the data set again") from error


def read_sizes(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Atoms and, where they were counted, edges of each structure, (n_structures,)."""
    try:
        with path.open("rb") as source, pq.ParquetFile(source, **WITHOUT_THREADS) as file:
            sizes = file.read(use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read ({error}); prepare the data set again") from error
    n_edges = sizes["n_edges"].to_numpy().astype(np.int64) if "n_edges" in sizes.column_names else None
    return sizes["n_atoms"].to_numpy().astype(np.int64), n_edges


class Block:
    """Columns of one block, from which structures are made when they are asked for."""

    def __init__(self, content: pa.Table) -> None:
        columns = {name: content[name].combine_chunks() for name in content.column_names}
        self.text = {name: columns[name] for name in ("source", "info", "arrays")}
        self.charge = columns["charge"].to_numpy()
        self.energy = columns["energy"]
        self.lists = {
            name: (columns[name], columns[name].offsets.to_numpy(), columns[name].values.to_numpy(zero_copy_only=False))
            for name in ("numbers", "positions", "cell", "pbc", "forces", "stress", *_further(content.column_names))
        }

    def __len__(self) -> int:
        return len(self.charge)

    def structure(self, number: int) -> Structure:
        """Structure by its number in the block."""
        forces, stress = self._values("forces", number), self._values("stress", number)
        arrays = json.loads(self.text["arrays"][number].as_py())
        numbers = self._values("numbers", number).astype(np.int64)
        further = {name: self._values(name, number) for name in _further(self.lists)}
        return Structure(
            numbers=numbers,
            positions=self._values("positions", number).reshape(-1, 3),
            cell=self._values("cell", number).reshape(3, 3),
            pbc=self._values("pbc", number),
            source=self.text["source"][number].as_py(),
            energy=self.energy[number].as_py(),
            forces=None if forces is None else forces.reshape(-1, 3),
            stress=None if stress is None else stress.reshape(3, 3),
            charge=float(self.charge[number]),
            info={k: _array(v) for k, v in json.loads(self.text["info"][number].as_py()).items()},
            arrays={k: _array(v) for k, v in arrays.items()},
            further={k: v.reshape(TARGETS[k].values_shape(len(numbers))) for k, v in further.items() if v is not None},
        )

    def _values(self, name: str, number: int) -> np.ndarray | None:
        column, offsets, values = self.lists[name]
        return values[offsets[number] : offsets[number + 1]].copy() if column[number].is_valid else None


def _further(columns: Iterable[str]) -> list[str]:
    """Columns of further targets that the table knows."""
    return [target.name for target in further_targets() if target.name in columns]


def _lists(arrays: Sequence[np.ndarray | None], dtype: type) -> pa.ListArray:
    lengths = [0 if a is None else a.size for a in arrays]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    parts = [np.asarray(a, dtype=dtype).ravel() for a in arrays if a is not None]
    values = np.concatenate(parts) if parts else np.zeros(0, dtype)
    absent = pa.array([a is None for a in arrays])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values), mask=absent)


def _info_text(structure: Structure) -> str:
    return json.dumps({k: p for k, v in structure.info.items() if (p := _plain(v)) is not None})


def _arrays_text(structure: Structure) -> str:
    """Values per atom; the forces under their name in the user's file are not kept twice."""
    arrays = {
        k: _plain(v)
        for k, v in structure.arrays.items()
        if v.dtype.kind in "biufU" and not (structure.forces is not None and np.array_equal(v, structure.forces))
    }
    return json.dumps(arrays)


def _plain(value: Any) -> Any:
    """JSON value of a number, a text or an array of them; None for anything else."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufU":
        return {"dtype": value.dtype.str, "values": value.tolist(), "shape": value.shape}
    return value if isinstance(value, str | int | float) else None


def _array(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return np.array(value["values"], dtype=value["dtype"]).reshape(value["shape"])
