"""The processes of a distributed run on one machine.

Rank 0 is the process that the user started. It starts the others from the configuration that it has saved, not from
the command line, so that they neither compose a configuration nor begin a sweep of their own.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, ListConfig

from sognet.training.callbacks.preemption import STOPPED

GRACE = 10.0
"""Seconds in which rank 0 may notice by itself that another has died: a sweep then goes on with its next member."""


@contextmanager
def distributed(trainer: DictConfig, config_file: Path, settings: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Run the block as rank 0 of `trainer.devices` processes, unless a cluster or torchrun has started them already.

    Parameters
    ----------
    trainer : the trainer group.
    config_file : configuration of the run, read by the other ranks.
    settings : of this command, which the file does not keep: what the ranks may trust, for instance.
    """
    n_ranks = number_of_devices(trainer)
    if n_ranks == 1 or trainer.num_nodes > 1 or started_externally():
        yield
        return
    ours = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "NODE_RANK": "0"}
    command = [sys.executable, "-m", "sognet.training.distributed.worker", str(config_file), json.dumps(settings or {})]
    log = config_file.with_name("ranks.log").open("w")
    streams = {"stdout": log, "stderr": log, "start_new_session": True}  # Ctrl-C is for rank 0, which tells the others
    workers = [
        subprocess.Popen(command, env=os.environ | ours | {"LOCAL_RANK": str(rank)}, **streams)
        for rank in range(1, n_ranks)
    ]
    before = {name: os.environ.get(name) for name in (*ours, "LOCAL_RANK")}
    os.environ.update(ours | {"LOCAL_RANK": "0"})
    finished = threading.Event()
    threading.Thread(target=_watch, args=(workers, log.name, finished), daemon=True).start()
    try:
        yield
        for worker in workers:
            worker.wait()
    finally:
        finished.set()
        for worker in workers:
            worker.kill()
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()  # the next run of a sweep starts its own
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        log.close()


def number_of_devices(trainer: DictConfig) -> int:
    """Processes that `trainer.devices` asks for on this machine."""
    devices = trainer.devices
    if isinstance(devices, ListConfig | list):
        return len(devices)
    if devices in (-1, "-1", "auto"):
        return max(1, torch.cuda.device_count()) if trainer.accelerator != "cpu" else 1
    return int(devices)


def started_externally() -> bool:
    """Whether torchrun, a cluster or we ourselves started this process as one of several."""
    return "LOCAL_RANK" in os.environ or int(os.environ.get("SLURM_NTASKS", "1")) > 1


def global_rank() -> int:
    """Rank of this process as its launcher gave it; 0 for a process that the user started."""
    return rank_zero_only.rank or 0


def end_with_parent() -> None:
    """End this rank where rank 0, which started it, has been killed: nobody else would."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _watch(workers: list[subprocess.Popen], log: str, finished: threading.Event) -> None:
    """End this process where another rank dies: it may be waiting for it inside a call that nothing interrupts."""
    while not finished.wait(1.0):
        for rank, worker in enumerate(workers, start=1):
            if worker.poll() not in (None, 0, *STOPPED.values()):
                last = Path(log).read_text(errors="replace").strip().splitlines()[-1:]
                print(f"error: rank {rank} ended with code {worker.returncode}, see {log}: {''.join(last)}", flush=True)
                if finished.wait(GRACE):
                    return
                for other in workers:
                    other.kill()
                os._exit(1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
