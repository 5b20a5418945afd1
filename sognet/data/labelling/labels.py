"""Structures with labels: computed in parallel, kept one by one, given back in the order of the input."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from filelock import FileLock, Timeout

from sognet.data.labelling.calculators import CalculatorSettings
from sognet.data.labelling.journal import Journal, identity_of
from sognet.data.labelling.workers import Task, compute
from sognet.errors import InputError
from sognet.progress import tracked

HOPELESS = 20
"""So many structures that all fail, before any that does not, end a run."""


@dataclass
class Labelled:
    """What came out.

    Parameters
    ----------
    frames : structures with their labels as results, in the order of the input, without those that failed.
    failed : reasons by the number of the structure.
    """

    frames: list[Atoms]
    failed: dict[int, str]


def label_structures(
    structures: Sequence[Atoms],
    calculator: CalculatorSettings,
    journal: Path,
    workers: int | None = None,
    threads: int = 1,
    timeout: float | None = None,
    keep_files: bool = False,
    sources: Sequence[str] | None = None,
) -> Labelled:
    """Energy, forces, and where the calculator has them stress, charges and dipole of structures.

    What an interrupted run had finished is taken from its journal; structures that failed are tried again.

    Parameters
    ----------
    structures : with their total charge (e) as `info["charge"]`.
    calculator : by whom.
    journal : file that keeps the labels; the calculator works in folders beside it.
    workers : processes; null: one for each core.
    threads : of each of them.
    timeout : seconds for a structure; null: any time.
    keep_files : whether the calculator's files stay.
    sources : where the structures came from, for errors.

    Raises
    ------
    InputError : something cannot be computed, all that was tried at first failed, or another process labels here.
    """
    tasks = [Task(i, bare(atoms), float(atoms.info.get("charge", 0.0))) for i, atoms in enumerate(structures)]
    names = sources or [f"structure {i}" for i in range(len(tasks))]
    calculator.check([t.atoms for t in tasks], [t.charge for t in tasks], names)
    with _alone(journal):
        kept = Journal(journal, identity_of(tasks, calculator))
        left = [task for task in tasks if task.number not in kept.labels]
        n_workers = workers or n_cores()
        computing = compute(left, calculator, journal.parent / "calculations", n_workers, threads, timeout, keep_files)
        fails_only = not kept.labels
        n_failed = 0
        try:
            for _, (number, labels, reason) in zip(tracked(range(len(left)), "labelling"), computing, strict=True):
                kept.add(number, labels, reason)
                fails_only, n_failed = fails_only and labels is None, n_failed + (labels is None)
                if fails_only and n_failed >= min(HOPELESS, len(left)):
                    raise InputError(_hopeless(kept.failed, names, n_failed))
        finally:
            computing.close()
            _remove_if_empty(journal.parent / "calculations")
    frames = [with_labels(structures[i], kept.labels[i]) for i in sorted(kept.labels)]
    return Labelled(frames, dict(sorted(kept.failed.items())))


@contextmanager
def _alone(journal: Path) -> Iterator[None]:
    """Hold the lock of a journal, which the system releases however the process ends.

    Raises
    ------
    InputError : another process has it.
    """
    lock = FileLock(journal.with_name(f".{journal.name}.lock"), timeout=0)
    try:
        journal.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise InputError(
            f"{journal}: another process writes it; wait for it, or choose another folder (hydra.run.dir)"
        ) from None
    except OSError as error:
        raise InputError(f"{journal}: cannot be written ({error.strerror})") from error
    try:
        yield
    finally:
        lock.release()


def bare(atoms: Atoms) -> Atoms:
    """Elements, positions and cell alone: initial charges and magnetic moments of a file are other methods' results."""
    return Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell.array, pbc=atoms.pbc)


def with_labels(atoms: Atoms, labels: Mapping[str, Any]) -> Atoms:
    """The structure with results of a calculator."""
    frame = atoms.copy()
    frame.calc = SinglePointCalculator(frame, **labels)
    return frame


def n_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _hopeless(failed: Mapping[int, str], names: Sequence[str], n: int) -> str:
    first = min(failed)
    return f"no labels: {n} structures were tried and all failed, the first, {names[first]}, because of {failed[first]}"


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
