"""Time between the frames of a trajectory."""

from sognet.errors import InputError
from sognet.trajectories.frames import Frame


class TimeStep:
    """Checks that frames are equally far apart.

    Parameters
    ----------
    name : quantity that needs it, for messages.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._times: list[float] = []
        self._n = 0

    def add(self, frame: Frame) -> None:
        """Take the time of the next frame.

        Raises
        ------
        InputError : it has none, or is not as far from the one before as that from its predecessor.
        """
        if frame.time is None:
            raise InputError(
                f"{frame.source}: {self.name} needs times; set interval=<fs between two frames of the file>"
            )
        if len(self._times) < 2:
            self._times.append(frame.time)
            if len(self._times) == 2 and self.step <= 0:
                raise InputError(f"{frame.source}: not later than the frame before; {self.name} needs times in order")
        elif abs(frame.time - self._times[0] - self._n * self.step) > 0.01 * self.step:
            raise InputError(
                f"{frame.source}: at {frame.time:g} ps, where {self._times[0] + self._n * self.step:g} ps is "
                f"expected; {self.name} needs frames that are equally far apart"
            )
        self._n += 1

    @property
    def step(self) -> float:
        """Time in ps between two frames, NaN where there is only one."""
        return self._times[1] - self._times[0] if len(self._times) == 2 else float("nan")
