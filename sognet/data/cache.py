"""Files of the data cache: made by one process at a time, there whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from sognet.errors import InputError


@contextmanager
def made_once(target: Path) -> Iterator[Path | None]:
    """Where to write a file of the cache; it gets its name when the block ends without an exception.

    Other processes wait for the block. None where the file is there, perhaps because another process has made it
    meanwhile.

    Raises
    ------
    InputError : the folder cannot be written to.
    """
    if target.is_file():
        yield None
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock")):
            if target.is_file():
                yield None
                return
            partial = target.with_name(f".{target.name}.part")
            try:
                yield partial
                partial.replace(target)
            finally:
                partial.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"{target}: cannot be written ({error}); set paths.data to a folder that can be written to"
        ) from error
