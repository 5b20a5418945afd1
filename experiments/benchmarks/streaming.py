"""Streaming: memory for small and large data sets, whether every structure comes exactly once, and how much faster
structures are fed than the model trains on them.

python experiments/benchmarks/streaming.py [memory] [epoch] [rates] [--structures 200000] [--workers 2]
"""

import argparse
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, set_start_method
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import torch
from hydra import compose, initialize_config_dir
from torch_geometric.data import Batch

from sognet.cli.configuration import CONFIGURATION
from sognet.data import Splits, Structure, StructureDataModule, stream
from sognet.data.streaming.preparation import prepare
from sognet.freed_memory import keep_freed_memory
from sognet.model.build import build_model
from sognet.training.loss import PotentialLoss

SMALL_SET = 2_000  # structures
SMALL_ATOMS = 20  # of the structures whose number is varied
DENSITY = 0.1  # atoms/Å³, as in liquid water
BATCH_ATOMS = 1_000
SECONDS = 8.0  # of processor time, for which each rate is measured
CUTOFF = 6.0  # Å, of the rates: that of the default model
SMALL_CUTOFF = 4.0  # Å, of the memory


def main() -> None:
    """Print the tables that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", default=["memory", "epoch", "rates"], help="memory, epoch, rates")
    parser.add_argument("--structures", type=int, default=200_000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    fresh = {"mp_context": get_context("spawn"), "max_tasks_per_child": 1}  # so that each row has its own memory
    with ProcessPoolExecutor(1, initializer=fork_workers, **fresh) as rows, tempfile.TemporaryDirectory() as root:
        if "memory" in options.tables:
            memory(rows, Path(root), options.structures, options.workers)
        if "epoch" in options.tables:
            rows.submit(prepared, Path(root) / "odd", SMALL_ATOMS, options.structures + 3).result()
            exactly_once(Path(root) / "odd", options.workers)
        if "rates" in options.tables:
            rates(rows, Path(root), options.workers)


def fork_workers() -> None:
    """Fork the workers of this process, as training does, though it was spawned itself."""
    set_start_method("fork", force=True)


def memory(rows: ProcessPoolExecutor, root: Path, n_structures: int, workers: int) -> None:
    """Table of the resident memory for a small and a large data set."""
    print(f"{SMALL_ATOMS} atoms per structure, {workers} workers, one epoch; MiB of all processes together\n")
    print("| structures | on disk | largest resident | structures/s |\n| ---: | ---: | ---: | ---: |")
    largest = []
    for n in (SMALL_SET, n_structures):
        on_disk = rows.submit(prepared, root / str(n), SMALL_ATOMS, n).result()
        resident, rate = rows.submit(an_epoch, root / str(n), workers).result()
        largest.append(resident)
        print(f"| {n} | {on_disk:.0f} | {resident:.0f} | {rate:.0f} |", flush=True)
    print(f"\ndifference: {largest[1] - largest[0]:.0f} MiB\n")


def exactly_once(folder: Path, workers: int) -> None:
    """An epoch of a number of structures that nothing divides on two ranks, killed in the middle and resumed."""
    n_structures = len(stream(str(folder)).train)
    context = get_context("spawn")
    for kill in (True, False):
        ranks = [context.Process(target=epoch_of_a_rank, args=(folder, workers, rank, kill)) for rank in range(2)]
        for process in ranks:
            process.start()
        for process in ranks:
            process.join()
        print(f"ranks ended with {[process.exitcode for process in ranks]}")
    seen = np.concatenate([np.loadtxt(folder / f"seen-{rank}", dtype=int) for rank in range(2)])
    once = len(seen) == n_structures and (np.sort(seen) == np.arange(n_structures)).all()
    print(f"2 ranks x {workers} workers, {n_structures} structures, killed and resumed: each exactly once: {once}\n")


def epoch_of_a_rank(folder: Path, workers: int, rank: int, kill: bool) -> None:
    """Go on with the epoch from the last checkpoint, writing down what is seen; killed by SIGKILL half-way if asked."""
    fork_workers()
    module = StructureDataModule(
        stream(str(folder)), SMALL_CUTOFF, batch_size=37, num_workers=workers, neighbor_lists="device"
    )  # the graphs' edges do not matter here
    module.trainer = SimpleNamespace(
        world_size=2,
        global_rank=rank,
        accumulate_grad_batches=1,
        num_devices=2,
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
        fit_loop=SimpleNamespace(epoch_progress=SimpleNamespace(current=SimpleNamespace(processed=0))),
    )
    loader = module.train_dataloader()
    state, seen = folder / f"state-{rank}", folder / f"seen-{rank}"
    if state.exists():
        loader.load_state_dict(json.loads(state.read_text()))
    pending: list[int] = []
    for number, batch in enumerate(loader):
        pending += batch.id[batch.counted].tolist()
        if number % 100 == 99:  # as often as a checkpoint is written
            with seen.open("a") as file:
                np.savetxt(file, pending, fmt="%d")
            state.write_text(json.dumps(loader.state_dict()))
            pending = []
        if kill and number > len(loader) // 2:
            os.kill(os.getpid(), signal.SIGKILL)
    with seen.open("a") as file:
        np.savetxt(file, pending, fmt="%d")


def rates(rows: ProcessPoolExecutor, root: Path, workers: int) -> None:
    """Table of structures per second of processor time: fed by the pipeline, and trained on."""
    print(f"{CUTOFF} Å, {DENSITY} atoms/Å³, {workers} workers; structures per second of processor time\n")
    print("| atoms | fed | trained | ratio |\n| ---: | ---: | ---: | ---: |")
    for n_atoms in (50, 200, 1000):
        folder = root / f"atoms-{n_atoms}"
        rows.submit(prepared, folder, n_atoms, 400_000 // n_atoms).result()
        fed = rows.submit(fed_per_second, folder, workers).result()
        trained = rows.submit(trained_per_second, folder).result()
        print(f"| {n_atoms} | {fed:.0f} | {trained:.1f} | {fed / trained:.1f} |", flush=True)


class MadeUp:
    """Structures of Na and Cl on a jittered grid with random energies and forces, made when they are asked for."""

    def __init__(self, n_atoms: int, n_structures: int) -> None:
        self.n_atoms = n_atoms
        self.n_structures = n_structures
        self.length = (n_atoms / DENSITY) ** (1 / 3)
        side = int(np.ceil(n_atoms ** (1 / 3)))
        grid = np.stack(np.meshgrid(*[np.arange(side)] * 3), -1).reshape(-1, 3)
        self.sites = grid[np.arange(n_atoms) * side**3 // n_atoms] * self.length / side

    def __len__(self) -> int:
        return self.n_structures

    def __iter__(self) -> Iterator[Structure]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, number: int) -> Structure:
        rng = np.random.default_rng(number)
        return Structure(
            numbers=np.where(np.arange(self.n_atoms) % 2, 11, 17),
            positions=self.sites + 0.5 * rng.random((self.n_atoms, 3)),
            cell=self.length * np.eye(3),
            pbc=np.ones(3, dtype=bool),
            source=f"made up, {number}",
            energy=float(rng.normal()),
            forces=rng.normal(size=(self.n_atoms, 3)),
        )


def prepared(folder: Path, n_atoms: int, n_structures: int) -> float:
    """Prepare a data set; its size in MiB."""
    prepare(Splits("made up", MadeUp(n_atoms, n_structures)), folder)
    return sum(f.stat().st_size for f in folder.iterdir()) / 2**20


def batches(folder: Path, workers: int, cutoff: float) -> Iterator[Batch]:
    """Batches of an epoch."""
    settings = {"batch_size": None, "max_atoms": BATCH_ATOMS, "num_workers": workers}
    return iter(StructureDataModule(stream(str(folder)), cutoff, **settings).train_dataloader())


def an_epoch(folder: Path, workers: int) -> tuple[float, float]:
    """Largest resident memory, in MiB, of this process and its workers in an epoch, and structures per second."""
    largest, seen = [], 0
    start = looked = time.perf_counter()
    for batch in batches(folder, workers, SMALL_CUTOFF):
        seen += batch.num_graphs
        if time.perf_counter() - looked > 0.5 or not largest:
            largest.append(resident())
            looked = time.perf_counter()
    return max(largest) / 2**20, seen / (time.perf_counter() - start)


def processes() -> list[psutil.Process]:
    """The main process and its workers."""
    main_process = psutil.Process()
    return [main_process, *main_process.children(recursive=True)]


def resident() -> int:
    """Bytes; what processes share is counted once."""
    return sum(process.memory_full_info().pss for process in processes())


def processor_seconds() -> float:
    """Time that the processes have computed, whatever else the machine was doing."""
    return sum(sum(process.cpu_times()[:2]) for process in processes())


def fed_per_second(folder: Path, workers: int) -> float:
    """Structures that come out of the pipeline per second of processor time."""
    feed = batches(folder, workers, CUTOFF)
    for _ in range(4 * workers):  # while the workers start
        next(feed)
    return per_second(lambda: next(feed, None))


def trained_per_second(folder: Path) -> float:
    """The same of training the default Deep Potential model with long range: forward, forces, backward; one thread."""
    torch.set_num_threads(1)
    keep_freed_memory()
    with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        config = compose("train", ["folder=nowhere"])
    model = build_model(config.model, stream(str(folder)).statistics).train()
    loss = PotentialLoss(config.loss.energy, config.loss.forces)
    feed = batches(folder, 0, CUTOFF)
    ready = [next(feed) for _ in range(3)]

    def step() -> Batch:
        batch = ready[0]
        ready.append(ready.pop(0))
        model.zero_grad()
        loss(model(batch, stress=False), batch)["loss"].backward()
        return batch

    for _ in ready:
        step()
    return per_second(step)


def per_second(next_batch: Callable[[], Batch | None]) -> float:
    """Structures per second of processor time of what returns a batch each time, until it returns None."""
    seen, start = 0, processor_seconds()
    while (elapsed := processor_seconds() - start) < SECONDS and (batch := next_batch()) is not None:
        seen += batch.num_graphs
    return seen / elapsed


if __name__ == "__main__":
    main()
