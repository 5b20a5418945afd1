"""What a long-range layer adds to a loss and to reports, where it has such methods (sognet.interfaces.LongRange)."""

from torch import Tensor

from sognet.errors import InputError
from sognet.long_range.decay import Boxes
from sognet.model.sognet import SOGNet


def regularization(model: SOGNet) -> dict[str, Tensor]:
    """Terms of the loss by name."""
    return _called(model, "regularization")


def diagnostics(model: SOGNet, boxes: Boxes) -> dict[str, float]:
    """Numbers by name, of a model on structures with these boxes.

    Raises
    ------
    InputError : something else than numbers.
    """
    found = _called(model, "diagnostics", cutoff=model.cutoff, box_length=boxes.length, periodic=boxes.periodic)
    try:
        return {str(name): float(value) for name, value in found.items()}
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        kind = type(model.long_range).__name__
        raise InputError(f"{kind}.diagnostics() must return numbers by name, got {found!r} ({error})") from None


def _called(model: SOGNet, name: str, **context: float) -> dict:
    method = getattr(model.long_range, name, None)
    return method(**context) if method is not None else {}
