"""Packages that not everyone needs: optional extras of pyproject.toml."""

from importlib.util import find_spec

from sognet.errors import InputError


def require(package: str, extra: str) -> None:
    """Raise an InputError that says how to install a package of an extra, where it is not there."""
    if find_spec(package) is None:
        raise InputError(f"this needs {package}: pip install 'sognet[{extra}]'")
