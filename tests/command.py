"""The command `sognet` as users type it, in a process of its own that need not import everything again."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

TIMEOUT = 300  # seconds

MAIN = "from sognet.cli.main import main; main()"

SMALL = [
    "model=published",
    "optimizer=adam",
    "batch.batch_size=8",
    "module.warmup_steps=0",
    "model.short_range.cutoff=4",
    "model.short_range.core_embedding=[4,8]",
    "model.short_range.shell_embedding=[4,8]",
    "model.short_range.n_axis=2",
    "model.long_range.n_gaussians=4",
    "trainer.accelerator=cpu",
    "logger=csv",
]


FORK_SERVER = multiprocessing.get_context("forkserver")
FORK_SERVER.set_forkserver_preload(
    ["sognet.training.ensemble", "sognet.evaluation.predict", "sognet.data.streaming.preparation"]
)


def sognet(*arguments: object, fails: bool = False, cwd: Path | None = None, **variables: str) -> str:
    """Run the command in a folder with environment variables; its output.

    Raises
    ------
    AssertionError : it fails where it should not, or the other way round.
    """
    with tempfile.NamedTemporaryFile() as output:
        process = FORK_SERVER.Process(target=_run, args=(output.name, list(map(str, arguments)), cwd, variables))
        process.start()
        process.join(TIMEOUT)
        if process.is_alive():
            process.kill()
        written = Path(output.name).read_text(errors="replace")
    assert (process.exitcode != 0) == fails, f"{arguments}: code {process.exitcode}\n{written}"
    return written


def fresh_sognet(*arguments: object, fails: bool = False) -> str:
    """The same in a new interpreter, for launchers that start processes from it."""
    command = [sys.executable, "-c", MAIN, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def _run(output: str, arguments: list[str], cwd: Path | None, variables: dict[str, str]) -> None:
    file = os.open(output, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    path = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    os.environ.update({"PYTHONPATH": path} | variables)  # for processes that this one starts
    os.chdir(cwd or os.getcwd())
    sys.argv = ["sognet", *arguments]
    from sognet.cli.main import main

    main()


def run_folder(outputs: Path) -> Path:
    """The one folder below that holds a finished run."""
    (summary,) = outputs.rglob("summary.json")
    return summary.parent
