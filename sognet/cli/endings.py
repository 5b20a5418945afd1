"""How a command ends where it does not end well: a line that says what to do, and an exit code."""

import os
import re
import shlex
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig

from sognet.cli.streams import end_unread
from sognet.errors import InputError

PACKAGE = Path(__file__).parents[1]
"""Folder of sognet, whose ValueErrors say all."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells report it."""

STOPPED = {
    INTERRUPTED: "interrupted",
    128 + signal.SIGHUP: "terminal closed",
    128 + signal.SIGTERM: "told to stop",
    128 + signal.SIGUSR1: "told to stop",
}
"""Exit codes of runs that saved and ended because of a signal, and what happened."""

PLACES = (r"full_key: (\S+)", r"Error in call to target '([^']+)'")
"""Where Hydra says what it cannot make: by the place in the configuration, or else by what it calls."""


@contextmanager
def clear_ending(config: DictConfig) -> Iterator[None]:
    """Run a command; what ends it is said in a line, with the remedy. HYDRA_FULL_ERROR=1 keeps tracebacks."""
    try:
        yield
    except KeyboardInterrupt:
        say_how_to_continue(config, INTERRUPTED)
        sys.exit(INTERRUPTED)
    except SystemExit as stop:
        if stop.code in STOPPED:
            say_how_to_continue(config, stop.code)
        raise
    except BrokenPipeError:
        end_unread()
    except Exception as error:
        message = reason(error)
        if message is None or os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(f"\nerror: {message}", file=sys.stderr)
        sys.exit(1)


def reason(error: BaseException) -> str | None:
    """What is wrong with the input, or with what a part of the configuration calls; None where neither is to blame."""
    key = ""
    while not isinstance(error, InputError):
        if isinstance(error, InstantiationException):
            key = next((found[1] for place in PLACES if (found := re.search(place, str(error)))), key)
        elif key:
            frames = traceback.extract_tb(error.__traceback__)
            if isinstance(error, ValueError) and frames and Path(frames[-1].filename).is_relative_to(PACKAGE):
                return f"{key}: {error}"
            where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
            return f"{key}: {type(error).__name__}: {error}{where}; HYDRA_FULL_ERROR=1 shows the way there"
        if error.__cause__ is None:
            return f"{key}: {error}" if key else None
        error = error.__cause__
    return str(error)


def say_how_to_continue(config: DictConfig, code: int) -> None:
    """Print with which command an interrupted run goes on."""
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        sweep = shlex.quote(f"hydra.sweep.dir={Path(HydraConfig.get().sweep.dir).absolute()}")
        print(f"{STOPPED[code]}; continue the sweep with the same command and {sweep}", file=sys.stderr)
        return
    run = config.get("resume") or config.get("folder")
    folder = Path(str(run)).absolute() if run else None
    if folder is not None and (command := _continuing(folder)) is not None:
        print(f"{STOPPED[code]}; continue with sognet {command} {shlex.quote(f'resume={folder}')}", file=sys.stderr)
    elif folder is not None and (folder / "labels.jsonl").is_file():
        same = shlex.quote(f"hydra.run.dir={folder}")
        print(f"{STOPPED[code]}; continue with the same command and {same}", file=sys.stderr)
    else:
        print(f"{STOPPED[code]}", file=sys.stderr)


def _continuing(folder: Path) -> str | None:
    """Command that continues what is in a folder; None where nothing can be continued."""
    if any(folder.rglob("checkpoints/last.ckpt")):
        return "train"
    return "simulate" if (folder / "restart.npz").is_file() else None
