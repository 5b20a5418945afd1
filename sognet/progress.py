"""Progress of what takes long: a bar on a terminal, a line now and then in logs."""

import time
from collections.abc import Collection, Iterable, Iterator
from typing import TypeVar

from rich import get_console
from rich.progress import track

T = TypeVar("T")

SECONDS_PER_LINE = 30.0
"""Between two lines where there is no terminal."""


def on_terminal() -> bool:
    """Whether output is read as it comes, so that a bar can be redrawn."""
    console = get_console()
    return console.is_terminal or console.is_jupyter


def duration(seconds: float) -> str:
    """Text of a time with two units at most: 45 s, 12 min, 3 h 20 min, 2 d 4 h."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min"
    days, hours = divmod(round(seconds / 3600), 24)
    return f"{days} d {hours} h"


class LineClock:
    """Says when the next line is due.

    Parameters
    ----------
    every : seconds between two lines.
    """

    def __init__(self, every: float = SECONDS_PER_LINE) -> None:
        self.every = every
        self.started = self.said = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def due(self) -> bool:
        """Whether a line is due; if so, the next one is due a period later."""
        now = time.monotonic()
        if now - self.said < self.every:
            return False
        self.said = now
        return True


def counted(items: Iterable[T], description: str, every: float = SECONDS_PER_LINE) -> Iterator[T]:
    """The items one after the other, with a line now and then that says how many there were."""
    clock = LineClock(every)
    for number, item in enumerate(items, start=1):
        if clock.due():
            print(f"{description}: {number} after {duration(clock.elapsed)}", flush=True)
        yield item


def tracked(items: Collection[T], description: str, every: float = SECONDS_PER_LINE) -> Iterator[T]:
    """The items one after the other, with their progress on a terminal or in the log."""
    if on_terminal():
        yield from track(items, description=description, transient=True)
        return
    clock, total = LineClock(every), len(items)
    for done, item in enumerate(items):
        if done and clock.due():
            left = clock.elapsed / done * (total - done)
            print(f"{description}: {done} of {total}, about {duration(left)} left", flush=True)
        yield item
