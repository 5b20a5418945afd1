"""What a simulation shows while it runs: a bar on a terminal, a line every 30 seconds in logs."""

import math
import time
from collections.abc import Callable
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sognet.progress import LineClock, duration, on_terminal

SECONDS_PER_DRAWING = 0.2
"""Between two drawings of the bar."""


class StepDisplay:
    """Shows steps and the last numbers while it is entered.

    Parameters
    ----------
    done, steps : steps at the start, and in all.
    femtoseconds : of a step; None where steps take no time, as in relaxations.
    """

    def __init__(self, done: int, steps: int, femtoseconds: float | None) -> None:
        self.first, self.steps, self.femtoseconds = done, steps, femtoseconds
        self.clock = LineClock()
        self.drawn = -math.inf
        self.bar: Progress | None = None
        if on_terminal():
            columns = BarColumn(bar_width=10), MofNCompleteColumn(), TextColumn("{task.description}")
            self.bar = Progress(*columns, TimeRemainingColumn(compact=True), transient=True)
            self.task = self.bar.add_task("", total=steps, completed=done)

    def __enter__(self) -> "StepDisplay":
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.bar is not None:
            self.bar.stop()

    def speed(self, step: int) -> str:
        """Nanoseconds in a day, or steps in a second, at the speed so far."""
        rate = (step - self.first) / max(self.clock.elapsed, 1e-9)
        return f"{rate:.3g} steps/s" if self.femtoseconds is None else f"{rate * self.femtoseconds * 0.0864:.3g} ns/day"

    def show(self, step: int, numbers: Callable[[], str]) -> None:
        """After a step; asks for the numbers where something is drawn or printed."""
        now = time.monotonic()
        if self.bar is not None and now - self.drawn > SECONDS_PER_DRAWING:
            self.bar.update(self.task, completed=step, description=f"{numbers()}, {self.speed(step)}")
            self.drawn = now
        elif self.bar is None and self.clock.due():
            left = self.clock.elapsed / max(step - self.first, 1) * (self.steps - step)
            said = f"step {step} of {self.steps}: {numbers()}, {self.speed(step)}"
            print(f"{said}, about {duration(left)} left", flush=True)
