"""Time and memory of a training step, beside the published PyTorch code's on a machine like this.

python experiments/benchmarks/training_step.py [--device cuda] [--threads 2]
"""

import argparse
import resource
import time

import torch
from torch_geometric.data import Batch

from sognet import SOGNet
from sognet.allocator import keep_freed_memory
from sognet.data import Structure, build_graph, dimers, dipeptides, water
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
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    print(f"{options.device}, {options.threads} threads, float32: forward, forces, backward; median of {REPEATS}\n")
    print("| system | descriptor | step / ms | without long range | long-range share | published | ratio | MiB |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for system, descriptor in systems():
        structures, short_range, k_cut, n_latent = SYSTEMS[system](descriptor)
        graph = Batch.from_data_list([build_graph(s, short_range.cutoff) for s in structures]).to(options.device)
        kernel = SumOfGaussians.power_law(1.0, short_range.cutoff)
        layer = FourierConvolution(kernel, k_cut=k_cut, tolerance=1e-4)
        whole = SOGNet(short_range, layer, n_latent=n_latent).to(options.device)
        control = SOGNet(short_range, None).to(options.device)
        with_long_range, without = seconds(whole, graph), seconds(control, graph)
        published = PUBLISHED[system][0] if descriptor == "cace" else None
        compared = f"{published} | {published / with_long_range / 1e3:.1f}" if published else "– | –"
        print(
            f"| {system} | {descriptor} | {1e3 * with_long_range:.0f} | {1e3 * without:.0f} | "
            f"{1 - without / with_long_range:.0%} | {compared} | {peak_memory(graph):.0f} |",
            flush=True,
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


def seconds(model: SOGNet, graph: Batch) -> float:
    """Median time of a step."""
    model.train()
    loss = PotentialLoss(energy=1.0, forces=100.0)
    times = []
    for _ in range(REPEATS + 3):
        synchronize(graph)
        start = time.perf_counter()
        model.zero_grad()
        loss(model(graph, stress=False), graph)["loss"].backward()
        synchronize(graph)
        times.append(time.perf_counter() - start)
    return sorted(times[3:])[REPEATS // 2]


def synchronize(graph: Batch) -> None:
    """Wait for the device."""
    if graph.pos.is_cuda:
        torch.cuda.synchronize()


def peak_memory(graph: Batch) -> float:
    """MiB of the device, or of this process so far."""
    if graph.pos.is_cuda:
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


if __name__ == "__main__":
    main()
