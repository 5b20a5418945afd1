"""Processes that compute labels, one structure at a time each; one that crashes or takes too long is replaced."""

import multiprocessing
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from ase import Atoms

from sognet.data.labelling.calculators import CalculatorSettings
from sognet.data.labelling.results import single_point

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
OUTPUT = "output.txt"
"""What a calculator prints, in the folder of its structure."""

READY = "ready"


@dataclass(frozen=True)
class Task:
    """A structure to label.

    Parameters
    ----------
    number : of the structure.
    atoms : the structure.
    charge : total, in e.
    """

    number: int
    atoms: Atoms
    charge: float


Outcome = tuple[int, dict[str, Any] | None, str]
"""Number of a structure, its labels, and the reason where there are none."""


def compute(
    tasks: Sequence[Task],
    calculator: CalculatorSettings,
    folder: Path,
    workers: int,
    threads: int = 1,
    timeout: float | None = None,
    keep_files: bool = False,
) -> Iterator[Outcome]:
    """Labels of structures, in the order in which they are finished.

    Each structure is computed in a folder of its own by a calculator of its own, so that no label depends on the
    number of workers. Folders stay where there is no label.

    Parameters
    ----------
    tasks : what to compute.
    calculator : by whom.
    folder : in which the folders of the structures are made.
    workers : processes.
    threads : of each of them.
    timeout : seconds for a structure; null: any time.
    keep_files : whether folders stay in any case.
    """
    waiting = list(reversed(tasks))
    pool = [Worker(calculator, folder.absolute(), threads, keep_files) for _ in range(min(workers, len(tasks)))]
    try:
        for worker in pool:
            worker.give(waiting.pop())
        while busy := [w for w in pool if w.task is not None]:
            ready = wait([w.connection for w in busy], timeout=None if timeout is None else 0.2)
            for worker in busy:
                if worker.connection in ready:
                    if (outcome := worker.outcome()) is None:
                        continue
                elif timeout is not None and worker.elapsed > timeout:
                    outcome = worker.give_up(f"took longer than timeout={timeout:g} s")
                else:
                    continue
                if waiting:
                    worker.give(waiting.pop())
                yield outcome
    finally:
        for worker in pool:
            worker.end()


class Worker:
    """A process, from the side of the one that starts it.

    Parameters
    ----------
    arguments : of _serve.
    threads : of the process.
    """

    def __init__(self, calculator: CalculatorSettings, folder: Path, threads: int, keep_files: bool) -> None:
        self.arguments, self.threads = (calculator, folder, keep_files), threads
        self.task: Task | None = None
        self.process = None
        self.started: float | None = None

    @property
    def elapsed(self) -> float:
        """Seconds that it has worked on its task; it has not begun while it still imports the calculator."""
        return 0.0 if self.started is None else time.monotonic() - self.started

    def give(self, task: Task) -> None:
        """Let it compute a structure."""
        if self.process is None:
            self._start()
        else:
            self.started = time.monotonic()
        self.task = task
        with suppress(OSError):  # it has ended, which its outcome says
            self.connection.send(task)

    def outcome(self) -> Outcome | None:
        """Wait for what it sends; None where it says that it begins."""
        try:
            message = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            return self.give_up(f"the process that computed it ended with code {self.process.exitcode}")
        if message == READY:
            self.started = time.monotonic()
            return None
        labels, reason = message
        number, self.task = self.task.number, None
        return number, labels, reason

    def give_up(self, reason: str) -> Outcome:
        """End it; its structure has no labels for this reason."""
        number, self.task = self.task.number, None
        self.end()
        return number, None, reason

    def end(self) -> None:
        """Kill it with the programs that it started."""
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except OSError:
            self.process.kill()  # before it had a group of its own
        self.process.join()
        self.connection.close()
        self.process = self.started = None

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, *self.arguments), daemon=True)
        with _environment(dict.fromkeys(THREADS, str(self.threads))):
            self.process.start()
        theirs.close()


def _serve(connection: Connection, calculator: CalculatorSettings, folder: Path, keep_files: bool) -> None:
    """Compute what comes until nothing comes any more."""
    os.setpgid(0, 0)
    here = Path.cwd()
    calculator.resolved()  # before the working directory changes
    connection.send(READY)
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        scratch = folder / f"{task.number:06d}"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        os.chdir(scratch)
        with _printing_to(scratch / OUTPUT):
            labels, reason = _labels(task, calculator)
        os.chdir(here)
        if labels is not None and not keep_files:
            shutil.rmtree(scratch, ignore_errors=True)
        try:
            connection.send((labels, reason))
        except BrokenPipeError:
            return  # whoever asked has been killed


def _labels(task: Task, calculator: CalculatorSettings) -> tuple[dict[str, Any] | None, str]:
    try:
        return single_point(calculator.make(task.charge), task.atoms), ""
    except Exception as error:  # whatever a calculator raises
        traceback.print_exc()
        return None, " ".join(f"{type(error).__name__}: {error}".split())[:300]


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _printing_to(path: Path) -> Iterator[None]:
    """Whatever is printed, by other languages as well, goes into a file."""
    kept = [(stream, os.dup(stream)) for stream in (1, 2)]
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        for stream, _ in kept:
            os.dup2(file, stream)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for stream, copy in kept:
            os.dup2(copy, stream)
            os.close(copy)
        os.close(file)
