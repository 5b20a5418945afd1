"""Tensors within dataclasses and tuples, moved to another device together."""

from dataclasses import fields, is_dataclass, replace
from typing import Any


def moved(value: Any, *args: Any, **kwargs: Any) -> Any:
    """A value with all tensors in it as `Tensor.to(*args, **kwargs)` makes them; what has none stays as it is."""
    if is_dataclass(value):
        return replace(value, **{f.name: moved(getattr(value, f.name), *args, **kwargs) for f in fields(value)})
    if isinstance(value, tuple):
        return tuple(moved(v, *args, **kwargs) for v in value)
    return value.to(*args, **kwargs) if hasattr(value, "to") else value
