"""Runs of several processes, as users type them: the same as of one, also when they are resumed."""

import contextlib
import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from ase.io import read, write
from command import MAIN, SMALL, run_folder, sognet
from interruptions import assert_same
from structures import labelled_atoms

pytestmark = pytest.mark.slow


def test_processes_that_torchrun_started(data, tmp_path):
    """Only rank 0 has a run folder, and its clock tells all how many steps a time is."""
    script = tmp_path / "start.py"
    script.write_text(MAIN)
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", script, "train",
        "dataset=files", f"dataset.path={data}", f"hydra.run.dir={tmp_path}/run", *SMALL, "trainer=ddp_cpu",
        "batch.batch_size=2", "time=2s", "+callbacks.record._target_=recorder.Record",
        f"+callbacks.record.folder={tmp_path}", "+callbacks.clock._target_=recorder.FastClock",
    ]  # fmt: skip
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path}
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, timeout=300, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(tmp_path.rglob("summary.json"))) == 1
    steps = [(tmp_path / f"ids-{rank}.txt").read_text().splitlines()[-1].split()[1] for rank in (0, 1)]
    assert steps[0] == steps[1]
    assert (
        int(steps[0]) + 1
        == torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    )


TWO_PROCESSES = [
    "trainer=ddp_cpu", "batch.batch_size=2", "trainer.accumulate_grad_batches=2", "trainer.max_epochs=3",
    "scheduler=none", "trainer.precision=64-true",
    "dataset.val_fraction=0.15", "dataset.test_fraction=0.05",  # 3 over two ranks: one is a repeat; 16 to train on
]  # fmt: skip


@pytest.fixture(scope="module")
def two_processes(data, tmp_path_factory) -> Path:
    outputs = tmp_path_factory.mktemp("two")
    sognet("train", "dataset=files", f"dataset.path={data}", *SMALL, f"paths.outputs={outputs}", *TWO_PROCESSES)
    return run_folder(outputs)


def test_two_processes_that_accumulate_train_as_one_with_the_whole_batch(data, two_processes, tmp_path):
    """Four batches of two structures of unequal size, on two ranks, against one of eight."""
    alone = ["trainer=cpu", "batch.batch_size=8", "trainer.accumulate_grad_batches=1"]
    sognet(
        "train", "dataset=files", f"dataset.path={data}", *SMALL, f"paths.outputs={tmp_path}",
        *(o for o in TWO_PROCESSES[3:] if o not in alone), *alone,
    )  # fmt: skip
    one = run_folder(tmp_path)
    before, after = (json.loads((f / "summary.json").read_text()) for f in (one, two_processes))
    for split in ("train", "val", "test"):
        assert after[split] == pytest.approx(before[split], rel=1e-7)
    assert_same(one, two_processes, rtol=1e-7, atol=1e-9)
    logged = []
    for folder in (one, two_processes):
        with (folder / "metrics.csv").open() as file:
            logged.append(list(csv.DictReader(file)))
    assert len(logged[0]) == len(logged[1])
    first_batch = ("val/force_short_range_rms", "val/force_long_range_rms")  # of rank 0
    compared = [name for name in logged[0][0] if name.startswith("val/") and name not in first_batch]
    assert {"val/force_rmse/Na", "val/energy_rmse/config_type=bulk"} <= set(compared)
    for row, other in zip(*logged, strict=True):
        assert [bool(row[name]) for name in compared] == [bool(other[name]) for name in compared]
        for name in compared:
            assert not row[name] or float(other[name]) == pytest.approx(float(row[name]), rel=1e-5)


@pytest.mark.parametrize("structure", [0, 7, 12])
def test_two_processes_name_the_structures_that_are_not_finite(data, tmp_path, structure):
    """Those of one batch of two, whichever rank has it and whichever of the accumulated batches it is."""
    output = sognet(
        "train", "dataset=files", f"dataset.path={data}", *SMALL, f"hydra.run.dir={tmp_path}/run", *TWO_PROCESSES,
        "callbacks.figures=null", "+callbacks.spoil._target_=recorder.Spoil", f"+callbacks.spoil.number={structure}",
        f"+callbacks.spoil.file={tmp_path}/spoilt", fails=True,
    )  # fmt: skip
    (line,) = (line for line in output.splitlines() if line.startswith("error: "))
    assert (tmp_path / "spoilt").read_text() in line
    assert line.count("frame ") <= 2
    assert len(read(tmp_path / "run" / "not_finite.extxyz", ":")) == line.count("frame ")


def test_two_processes_are_resumed_to_the_same_weights(data, two_processes, tmp_path):
    """And nothing is left running of what was killed."""
    kill = ["+callbacks.at._target_=interruptions.At", "+callbacks.at.call=50"]
    output = sognet(
        "train", "dataset=files", f"dataset.path={data}", *SMALL, f"hydra.run.dir={tmp_path}/run", *TWO_PROCESSES,
        *kill, fails=True,
    )  # fmt: skip
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file(), output
    deadline = time.monotonic() + 30
    while any(str(tmp_path / "run") in command for command in running()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    sognet("train", f"resume={tmp_path}/run", "+callbacks.at.call=-1", "trust=[interruptions]")
    assert_same(two_processes, tmp_path / "run", rtol=1e-7, atol=1e-9)


def test_two_processes_go_on_with_changed_data_that_are_accepted(data, two_processes, tmp_path):
    folder = shutil.copytree(two_processes, tmp_path / "run")
    changed = tmp_path / "more.xyz"
    write(changed, [*read(data, ":"), labelled_atoms(5, seed=99)], format="extxyz")
    resumed = ["train", f"resume={folder}", f"dataset.path={changed}", "trainer.max_epochs=4"]
    assert "data_changed=accept" in sognet(*resumed, fails=True)
    sognet(*resumed, "data_changed=accept")
    before, after = (json.loads((f / "summary.json").read_text()) for f in (two_processes, folder))
    assert after["train"]["n_structures"] == before["train"]["n_structures"] + 1
    assert after["test"]["n_structures"] == before["test"]["n_structures"]


def running() -> list[str]:
    """Command lines of all processes."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(file.read_text(errors="replace"))
    return found
