"""Time between the frames of a trajectory."""

from sognet.errors import InputError
from sognet.trajectories.frames import Frame

TOLERANCE = 0.01
"""Of the time between two frames, by which one may be off, as where a file has few digits."""

ROUNDING = 2.4e-7
"""Of the time itself: files of other programs have it in single precision."""


class TimeStep:
    """Checks that frames are equally far apart.

    Parameters
    ----------
    name : quantity that needs it, for messages.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._first = self._last = 0.0
        self._n = 0

    def add(self, frame: Frame) -> None:
        """Take the time of the next frame.

        Raises
        ------
        InputError : it has none, or is not as far from the one before as those are from each other.
        """
        if frame.time is None:
            raise InputError(
                f"{frame.source}: {self.name} needs times; set interval=<fs between two frames of the file>"
            )
        if self._n == 0:
            self._first = frame.time
        elif self._n == 1 and frame.time <= self._first:
            raise InputError(f"{frame.source}: not later than the frame before; {self.name} needs times in order")
        elif self._n > 1 and abs(frame.time - self._last - self.step) > self._allowed(frame.time):
            raise InputError(
                f"{frame.source}: at {frame.time:g} ps, where {self._last + self.step:g} ps is expected; {self.name} "
                "needs frames that are equally far apart"
            )
        self._last = frame.time
        self._n += 1

    @property
    def step(self) -> float:
        """Mean time in ps between two frames, NaN where there is only one."""
        return (self._last - self._first) / (self._n - 1) if self._n > 1 else float("nan")

    def _allowed(self, time: float) -> float:
        return TOLERANCE * self.step + ROUNDING * abs(time)
