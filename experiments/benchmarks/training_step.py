"""Time and memory of a training step, beside the published PyTorch code's on a machine like this.

python experiments/benchmarks/training_step.py [--device cuda] [--threads 2]
"""

import argparse
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch
from torch_geometric.data import Batch

from sognet import SOGNet
from sognet.data import Structure, build_graph, dimers, dipeptides, water
from sognet.freed_memory import keep_freed_memory
from sognet.long_range import FourierConvolution, SumOfGaussians
from sognet.short_range import CACE, DeepPotential
from sognet.training.loss import PotentialLoss

REPEATS = 10
PUBLISHED = {"water": (661, 330), "dipeptides": (4930, 2441), "dimers": (125, 33)}  # ms, with long range and without


def main() -> None:
    """Print a row for each system and descriptor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    print(f"{options.device}, {options.threads} threads, float32: forward, forces, backward; median of {REPEATS}\n")
    print("| system | descriptor | step / ms | without long range | long-range share | published | ratio | MiB |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    fresh = {"mp_context": get_context("spawn"), "max_tasks_per_child": 1}  # so that each row has its own peak memory
    with ProcessPoolExecutor(max_workers=1, **fresh) as rows:
        for system, descriptor in systems():
            print(rows.submit(row, system, descriptor, options.device, options.threads).result(), flush=True)


def row(system: str, descriptor: str, device: str, threads: int) -> str:
    """Row of the table."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    structures, short_range, k_cut, n_latent = SYSTEMS[system](descriptor)
    graph = Batch.from_data_list([build_graph(s, short_range.cutoff) for s in structures]).to(device)
    kernel = SumOfGaussians.power_law(1.0, short_range.cutoff)
    layer = FourierConvolution(kernel, k_cut=k_cut, tolerance=1e-4)
    models = SOGNet(short_range, layer, n_latent=n_latent).to(device), SOGNet(short_range, None).to(device)
    with_long_range, without = seconds(models, graph)
    published = PUBLISHED[system][0] if descriptor == "cace" else None
    compared = f"{published} | {published / with_long_range / 1e3:.1f}" if published else "– | –"
    return (
        f"| {system} | {descriptor} | {1e3 * with_long_range:.0f} | {1e3 * without:.0f} | "
        f"{1 - without / with_long_range:.0%} | {compared} | {peak_memory(graph):.0f} |"
    )


def systems() -> list[tuple[str, str]]:
    """Pairs of system and descriptor."""
    return [(s, d) for s in SYSTEMS for d in ("cace", "deep_potential")]


def water_step(descriptor: str) -> tuple[list[Structure], torch.nn.Module, float, int]:
    """2 × 192 atoms, k_cut π, P = 4."""
    short_range = (
        CACE(["H", "O"], 5.5, n_radial=12, l_max=3, nu_max=3, n_embedding=3)
        if descriptor == "cace"
        else DeepPotential(["H", "O"], 5.5)
    )
    return water().train[:2], short_range, torch.pi, 4


def dipeptides_step(descriptor: str) -> tuple[list[Structure], torch.nn.Module, None, int]:
    """4 structures of 45 to 49 atoms, aperiodic, one layer of message passing."""
    members = [s for s in dipeptides(splits=["val"]).val if 45 <= len(s) <= 49][:4]
    species = ["H", "C", "N", "O", "S"]
    short_range = (
        CACE(species, 4.0, n_radial=12, l_max=4, nu_max=3, n_embedding=4, n_message_passing=1)
        if descriptor == "cace"
        else DeepPotential(species, 4.0)
    )
    return members, short_range, None, 1


def dimers_step(descriptor: str) -> tuple[list[Structure], torch.nn.Module, None, int]:
    """CC, 4 × 23 atoms in a 30 Å box, one layer of message passing."""
    species = ["H", "C", "N", "O"]
    short_range = (
        CACE(species, 5.0, n_radial=8, l_max=2, nu_max=2, n_embedding=3, n_message_passing=1)
        if descriptor == "cace"
        else DeepPotential(species, 5.0)
    )
    return dimers("CC").train[:4], short_range, None, 1


SYSTEMS = {"water": water_step, "dipeptides": dipeptides_step, "dimers": dimers_step}


def seconds(models: tuple[SOGNet, ...], graph: Batch) -> list[float]:
    """Median times of a step of models that take turns, so that a busy moment meets them all."""
    loss = PotentialLoss(energy=1.0, forces=100.0)
    times: list[list[float]] = [[] for _ in models]
    for _ in range(REPEATS + 3):
        for model, taken in zip(models, times, strict=True):
            model.train()
            synchronize(graph)
            start = time.perf_counter()
            model.zero_grad()
            loss(model(graph, stress=False), graph)["loss"].backward()
            synchronize(graph)
            taken.append(time.perf_counter() - start)
    return [sorted(taken[3:])[REPEATS // 2] for taken in times]


def synchronize(graph: Batch) -> None:
    """Wait for the device."""
    if graph.pos.is_cuda:
        torch.cuda.synchronize()


def peak_memory(graph: Batch) -> float:
    """MiB at most, of the device or of this process with its libraries."""
    if graph.pos.is_cuda:
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


if __name__ == "__main__":
    main()
