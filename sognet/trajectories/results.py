"""What an analysis finds: curves with errors, and sentences for people."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from sognet.trajectories.frames import Frame


@dataclass(frozen=True)
class Curve:
    """Values along the axis of a result.

    Parameters
    ----------
    name : of the curve.
    values : (n,).
    errors : standard errors (n,), NaN where unknown, or None.
    """

    name: str
    values: np.ndarray
    errors: np.ndarray | None = None


@dataclass(frozen=True)
class Panel:
    """Curves that share an axis.

    Parameters
    ----------
    label : of the axis, without unit.
    unit : empty for pure numbers.
    curves : at least one.
    """

    label: str
    unit: str
    curves: list[Curve]


@dataclass(frozen=True)
class Result:
    """One quantity of a trajectory.

    Parameters
    ----------
    label, unit : of the horizontal axis.
    axis : (n,).
    panels : may be none where there are numbers only.
    sentences : what people want to know of it.
    numbers : the same for programs, with units in the names.
    logarithmic : both axes.
    """

    label: str = ""
    unit: str = ""
    axis: np.ndarray | None = None
    panels: list[Panel] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    numbers: dict[str, object] = field(default_factory=dict)
    logarithmic: bool = False


class Quantity(Protocol):
    """Takes a trajectory frame by frame."""

    def add(self, frame: Frame) -> None:
        """Take the next frame."""

    def result(self) -> Result:
        """The quantity of all frames so far."""
