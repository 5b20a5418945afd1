"""What an offline wandb run has written, read without wandb's own writer.

The file is a log of LevelDB's format behind 7 bytes of wandb's: blocks of 32 KiB of records that carry checksum (4),
length (2) and kind (1: whole, 2: first, 3: middle, 4: last part).
"""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

BLOCK, HEADER, WHOLE, LAST = 32768, 7, 1, 4


def records(run_folder: Path) -> Iterator[Record]:
    """Records of the only wandb run of a run folder."""
    (file,) = run_folder.glob("wandb/*run-*/run-*.wandb")
    data = file.read_bytes()
    position, message = HEADER, b""
    while position < len(data):
        if (left := BLOCK - position % BLOCK) < HEADER:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + HEADER])
        position += HEADER + length
        message += data[position - length : position]
        if kind in (WHOLE, LAST):
            record = Record()
            record.ParseFromString(message)
            message = b""
            yield record


def logged_keys(run_folder: Path) -> set[str]:
    """Keys of all that was logged; system metrics begin with `system/`."""
    keys: set[str] = set()
    for record in records(run_folder):
        for item in record.history.item:
            *of_media, last = item.nested_key or [item.key]
            keys.add("/".join(of_media or [last]))
        keys |= {f"system/{item.key}" for item in record.stats.item}
    return keys


def configuration(run_folder: Path) -> dict[str, Any]:
    """The configuration."""
    return {item.key: json.loads(item.value_json) for record in records(run_folder) for item in record.config.update}
