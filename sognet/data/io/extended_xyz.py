"""Extended XYZ as people write it: what ASE's reader would refuse is put as it expects it, frame by frame."""

import io
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.io.extxyz import read_xyz
from ase.io.formats import open_with_compression

logger = logging.getLogger(__name__)

BYTE_ORDER_MARK = "\ufeff"
FORTRAN_NUMBER = re.compile(r"(?<![\w.])([+-]?(?:\d+\.\d*|\.\d+))[dD]([+-]?\d+)(?![\w.])")
SIX_VALUES = re.compile(r"(?<!\S)(stress|virial)=([\"'\[{]+)([^\"'\]}]*)([\"'\]}]+)", re.IGNORECASE)
LABEL = re.compile(r"([A-Z][a-z]?)(?:[^A-Za-z].*)?")
ISOTOPES = {"D": "H", "T": "H"}


def xyz_frames(file: Path) -> Iterator[Atoms]:
    """Frames of a file. A byte-order mark, exponents such as 1.0D-03, labels of atoms such as Au1 or Cu_pv and
    stresses of six values are understood; the elements that labels stand for are logged once.

    Raises
    ------
    ValueError : a frame is cut off, or a label names no element.
    """
    labels: dict[str, str] = {}
    with open_with_compression(str(file)) as text:
        first = True
        while line := text.readline():
            if first:
                line, first = line.removeprefix(BYTE_ORDER_MARK), False
            if not line.strip():
                if rest := text.read().strip():
                    raise ValueError(f"an empty line where a number of atoms is expected, before {rest[:20]!r}")
                break
            lines = [line]
            for _ in range(int(line) + 1):
                if not (line := text.readline()):
                    raise ValueError(f"the file ends after {len(lines)} of the frame's {int(lines[0]) + 2} lines")
                lines.append(line)
            yield _parsed(lines, labels)
    if labels:
        said = ", ".join(f"{label} as {symbol}" for label, symbol in sorted(labels.items()))
        logger.warning("%s: atoms are read by the element of their label: %s", file, said)


def _parsed(lines: list[str], labels: dict[str, str]) -> Atoms:
    if FORTRAN_NUMBER.search("".join(lines)):
        lines = [FORTRAN_NUMBER.sub(r"\1e\2", line) for line in lines]
    comment = lines[1]
    six = {}
    for key, opening, values, closing in SIX_VALUES.findall(comment):
        numbers = values.replace(",", " ").split()
        if len(numbers) == 6:
            six[key.lower()] = np.array(numbers, dtype=float)
            comment = comment.replace(f"{key}={opening}{values}{closing}", "")
    lines = [lines[0], comment, *lines[2:]]
    column = _symbol_column(comment)
    for k in range(2, len(lines)):
        words = lines[k].split(None, column + 1)
        if len(words) > column and words[column] not in atomic_numbers and not words[column].isdigit():
            label = words[column]
            labels[label] = words[column] = _element(label)
            lines[k] = " ".join(words) if len(words) > column + 1 else " ".join(words) + "\n"
    atoms = next(read_xyz(io.StringIO("".join(lines)), 0))
    atoms.info.update(six)
    return atoms


def _symbol_column(comment: str) -> int:
    """Number of the column with the elements; the first one where the comment does not say."""
    found = re.search(r"Properties=\"?([^\s\"]+)", comment, re.IGNORECASE)
    fields = found.group(1).split(":") if found else []
    column = 0
    for name, width in zip(fields[::3], fields[2::3], strict=False):
        if name.lower() in ("species", "element", "symbols"):
            return column
        column += int(width)
    return 0


def _element(label: str) -> str:
    if label in ISOTOPES:
        return ISOTOPES[label]
    match = LABEL.fullmatch(label)
    if match is None or match.group(1) not in atomic_numbers:
        raise ValueError(f"the label {label!r} names no element; write chemical symbols, as in Cu, Cu1 or Cu_pv")
    return match.group(1)
