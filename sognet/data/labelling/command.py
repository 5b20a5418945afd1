"""`sognet label`: structures of a file with energies and forces of a calculator."""

import csv
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ase import Atoms
from ase.calculators.calculator import all_properties
from ase.io import write
from omegaconf import DictConfig, OmegaConf

from sognet.data.io.readers import read_structures
from sognet.data.io.units import Units
from sognet.data.labelling.calculators import CalculatorSettings
from sognet.data.labelling.labels import Labelled, label_structures
from sognet.data.structure import Keys, Structure, n_structures
from sognet.errors import InputError
from sognet.trust import trusted_names

JOURNAL = "labels.jsonl"
LABELLED = "labelled.extxyz"
FAILED = "failed.csv"

RESULTS = {*all_properties, "virial", "charge"}
"""What an input may have of these is not that of the calculator, and left out; the total charge is written anew."""


def label_file(config: DictConfig) -> None:
    """Label every structure of `path`: `labelled.extxyz` in the order of the input, and `failed.csv` where some failed.

    Raises
    ------
    InputError : the file, the calculator or an argument cannot be used, or no structure has labels.
    """
    calculator = settings_of(config)
    check_numbers(config)
    if names := calculator.unchecked_arguments():
        print(f"{calculator.target} takes arguments of any name: check the spelling of {', '.join(names)}")
    structures, unusable = structures_of(config)
    if unusable:
        print(f"{len(unusable)} of {len(structures) + len(unusable)} frames cannot be used, for one {unusable[0]}")
    folder = Path(str(config.folder)).absolute()
    with ended_by_signals():
        labelled = label_structures(
            [to_label(s) for s in structures],
            calculator,
            folder / JOURNAL,
            config.workers,
            config.threads,
            config.timeout,
            config.keep_files,
            [s.source for s in structures],
        )
    write_labelled(folder / LABELLED, labelled.frames)
    write_failed(folder / FAILED, labelled, [s.source for s in structures], unusable)
    print(conclusion(labelled, folder, unusable))


def settings_of(config: DictConfig) -> CalculatorSettings:
    """The calculator of a configuration."""
    settings = OmegaConf.to_container(config.calculator, resolve=True)
    return CalculatorSettings.of(settings, config.charge_argument, tuple(trusted_names(config.trust)))


def check_numbers(config: DictConfig) -> None:
    """Raise an InputError where a number makes no sense."""
    for name in ("workers", "threads", "timeout"):
        value, whole = config[name], name != "timeout"
        if value is not None and (not isinstance(value, int if whole else int | float) or value <= 0):
            raise InputError(f"{name} must be a positive {'integer' if whole else 'number of seconds'}, got {value!r}")


def structures_of(config: DictConfig) -> tuple[list[Structure], list[str]]:
    """Structures of the file, without what it may have of energies and forces, and why others cannot be used.

    Raises
    ------
    InputError : no path, or nothing in the file can be used.
    """
    if not config.path:
        raise InputError("sognet label needs path=<file>")
    keys = Keys(energy=None, forces=None, stress=None, charge=config.charge_key)
    unusable: list[str] = []
    units = Units(length=config.length_unit)
    return read_structures(config.path, keys, config.format, units, unusable, pbc=config.pbc), unusable


def to_label(structure: Structure) -> Atoms:
    """What a structure has per structure and per atom, but for results, and its total charge."""
    atoms = Atoms(structure.numbers, positions=structure.positions, cell=structure.cell, pbc=structure.pbc)
    atoms.info = {k: v for k, v in structure.info.items() if k not in RESULTS} | {"charge": structure.charge}
    for name, values in structure.arrays.items():
        if name not in RESULTS:
            atoms.arrays[name] = values
    return atoms


def write_labelled(path: Path, frames: Sequence[Atoms]) -> None:
    """Structures with their labels, whole or not at all.

    Raises
    ------
    InputError : the file cannot be written.
    """
    partial = path.with_name(f"{path.name}.part")
    try:
        write(partial, frames, format="extxyz")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InputError(f"{path}: cannot be written ({error.strerror}); make room, then continue") from error


def write_failed(path: Path, labelled: Labelled, sources: Sequence[str], unusable: Sequence[str]) -> None:
    """Numbers, origins and reasons of structures without labels; no file where there are none.

    Structures that cannot be used have no number.
    """
    path.unlink(missing_ok=True)
    if not (labelled.failed or unusable):
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["structure", "source", "reason"])
        table.writerows([number, sources[number], reason] for number, reason in labelled.failed.items())
        table.writerows(["", *message.split(": ", 1)] for message in unusable)


def conclusion(labelled: Labelled, folder: Path, unusable: Sequence[str]) -> str:
    """What came out, in at most three lines."""
    lines = [f"{n_structures(len(labelled.frames))} labelled: {folder / LABELLED}"]
    where = f"all are in {folder / FAILED}"
    if labelled.failed:
        first, reason = next(iter(labelled.failed.items()))
        lines.append(f"{len(labelled.failed)} failed, structure {first} for one ({reason}); {where}")
    if unusable:
        lines.append(f"{len(unusable)} cannot be used, for one {unusable[0]}; {where}")
    return "\n".join(lines)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """A signal that ends the command ends its workers first."""
    numbers = [n for n in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1) if signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, lambda n, _: sys.exit(128 + n)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
