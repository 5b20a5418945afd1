"""Code outside this package that a model, a checkpoint or a data set names by an import path, and who may be followed.

Importing a module runs its code, so a path in a file is followed only into this package, into installed packages that
register under the entry point group `sognet.modules`, and into modules that the caller trusts by name.
"""

import importlib
import sys
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from sognet.errors import InputError

GROUP = "sognet.modules"
"""Entry point group by which an installed package says that its modules may be loaded without asking."""

OWN = "sognet"


def trusted_names(trust: str | Iterable[str] | None) -> list[str]:
    """Names of modules as a list.

    Raises
    ------
    InputError : something that is not the name of a module.
    """
    names = [trust] if isinstance(trust, str) else list(trust or ())
    for name in names:
        parts = name.split(".") if isinstance(name, str) else [""]
        if parts[-1] == "py" or not all(part.isidentifier() for part in parts):
            raise InputError(f"trust: {name!r} is not the name of a module; write trust=[mine] for mine.py")
    return names


def is_trusted(path: str, trust: str | Iterable[str] | None = ()) -> bool:
    """Whether an import path may be followed."""
    return _within(path, [OWN, *trusted_names(trust)]) or _within(path, registered())


def resolve(path: str, trust: str | Iterable[str] | None = (), setting: str = "") -> Any:
    """Class or function of an import path. The working directory is searched for what `trust` names.

    Parameters
    ----------
    path : `package.module.name`.
    trust : names of modules or packages that may be imported.
    setting : what named it, for the error.

    Raises
    ------
    InputError : the path, or where the object comes from, is not trusted; nothing of this name; the module raises.
    """
    trust, where = trusted_names(trust), f"{setting}={path}" if setting else path
    if not is_trusted(path, trust):
        raise InputError(f"{where}: {_remedy(path)}")
    if _within(path, trust):
        search_working_directory()
    found = _imported(path, where)
    origin = getattr(found, "__module__", None)
    if not callable(found) or not isinstance(origin, str):
        raise InputError(f"{where}: neither a class nor a function")
    if not is_trusted(origin, trust):
        raise InputError(f"{where} comes from {origin}: {_remedy(origin)}")
    return found


def search_working_directory() -> None:
    """Find modules in the working directory as well, after all others."""
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    importlib.invalidate_caches()


def import_trusted(trust: str | Iterable[str] | None) -> None:
    """Import what is trusted, so that rows that it adds to the table of targets are there before data are read.

    Whatever names something in a module that is not there says so.

    Raises
    ------
    InputError : a module raises.
    """
    for name in trusted_names(trust):
        search_working_directory()
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if not (error.name and _within(name, [error.name])):
                raise InputError(f"trust={name}: importing {name} failed ({error})") from error
        except Exception as error:
            raise InputError(f"trust={name}: importing {name} failed ({type(error).__name__}: {error})") from error


@lru_cache(maxsize=1)
def registered() -> tuple[str, ...]:
    """Top-level packages that are registered, by whatever is installed outside the working directory."""
    here = Path.cwd()
    folders = [folder for folder in sys.path if folder and Path(folder).absolute() != here]
    points = (point for found in distributions(path=folders) for point in found.entry_points)
    return tuple(sorted({point.module.partition(".")[0] for point in points if point.group == GROUP}))


def _within(path: str, names: Sequence[str]) -> bool:
    return any(path == name or path.startswith(f"{name}.") for name in names)


def _remedy(path: str) -> str:
    package = path.partition(".")[0]
    return (
        f"code outside sognet, which runs when it is loaded. If you trust its author, add trust=[{package}] to the "
        f"command or trust=[{package!r}] to the call; an installed package may register as entry point {GROUP}"
    )


def _imported(path: str, where: str) -> Any:
    """Object of a path, which may lead through classes."""
    parts = path.split(".")
    for end in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:end])
        try:
            found: Any = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name and _within(module, [error.name]):
                continue
            raise InputError(f"{where}: importing {module} failed ({error})") from error
        except Exception as error:
            raise InputError(f"{where}: importing {module} failed ({type(error).__name__}: {error})") from error
        try:
            for part in parts[end:]:
                found = getattr(found, part)
        except AttributeError:
            raise InputError(f"{where}: {module} has no {'.'.join(parts[end:])}{_hidden(parts[0])}") from None
        return found
    raise InputError(f"{where}: no module {parts[0]} is installed or in the working directory, {Path.cwd()}")


def _hidden(package: str) -> str:
    """Says so where a file of the working directory has the name of a module that is found elsewhere."""
    found = getattr(sys.modules.get(package), "__file__", None)
    here = [p for p in (Path(f"{package}.py").absolute(), Path(package, "__init__.py").absolute()) if p.is_file()]
    if not here or (found is not None and Path(found).resolve() == here[0].resolve()):
        return ""
    return f"; it is that of {found or 'the standard library'}, which comes before {here[0]}: rename yours"
