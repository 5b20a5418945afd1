"""The file that keeps each label as soon as it is there: a line of JSON for each structure, in any order."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sognet.data.labelling.calculators import CalculatorSettings
from sognet.data.labelling.workers import Task
from sognet.errors import InputError


class Journal:
    """Labels by number of the structure; numbers are kept to the last bit.

    Parameters
    ----------
    path : file, which an earlier run may have begun.
    identity : hash of what is labelled, and by whom.

    Raises
    ------
    InputError : the file belongs to another run.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self.path = path
        self.labels: dict[int, dict[str, Any]] = {}
        self.failed: dict[int, str] = {}
        if path.is_file():
            self._read(identity)
        if not path.is_file() or path.stat().st_size == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._append({"identity": identity})

    def add(self, number: int, labels: dict[str, Any] | None, reason: str = "") -> None:
        """Keep the labels of a structure, or why it has none."""
        if labels is None:
            self.failed[number] = reason
            self._append({"number": number, "failed": reason})
        else:
            self.failed.pop(number, None)
            self.labels[number] = labels
            self._append({"number": number, **labels})

    def _append(self, line: dict[str, Any]) -> None:
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written ({error.strerror}); make room, then continue") from error

    def _read(self, identity: str) -> None:
        whole = 0
        with self.path.open("rb") as file:
            for text in file:
                if not text.endswith(b"\n"):
                    break  # cut off when the run was killed
                line = json.loads(text)
                if whole == 0 and line.get("identity") != identity:
                    raise InputError(
                        f"{self.path}: labels of other structures, or by another calculator; choose another folder "
                        "(hydra.run.dir), or delete the file"
                    )
                whole += len(text)
                if "failed" in line:
                    self.failed[line["number"]] = line["failed"]
                elif "number" in line:
                    self.labels[line.pop("number")] = line
        os.truncate(self.path, whole)
        self.failed = {number: reason for number, reason in self.failed.items() if number not in self.labels}


def identity_of(tasks: Sequence[Task], calculator: CalculatorSettings) -> str:
    """Hash of structures, their total charges, and the calculator with its arguments."""
    settings = [calculator.target, dict(calculator.arguments), calculator.charge_argument]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for task in tasks:
        atoms = task.atoms
        for array in (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, np.array(task.charge, dtype=float)):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
