"""Cost of the long-range layer: against a dense reciprocal sum, per atom up to 64 000, and in batches.

python experiments/benchmarks/long_range.py [--device cuda] [--threads 2]
python experiments/benchmarks/long_range.py --method mesh --smallest 64000 --largest 1000000   # and memory
"""

import argparse
import math
import resource
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import torch
from torch import Tensor

from sognet.freed_memory import keep_freed_memory
from sognet.long_range import FourierConvolution, SumOfGaussians

DENSITY = 0.1  # atoms/Å³
CUTOFF = 5.0  # Å
TOLERANCE = 1e-5
REPEATS = 7
LONG_ENOUGH = 60.0  # s, after which two repeats are enough
SIZES = (128, 500, 1000, 4000, 16_000, 64_000, 250_000, 1_000_000)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--smallest", type=int, default=128, help="atoms of the smallest structure")
    parser.add_argument("--largest", type=int, default=64_000, help="atoms of the largest structure")
    parser.add_argument("--method", default="auto", help="of the table of sizes; other than auto: that table alone")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    kernel = SumOfGaussians.power_law(1.0, CUTOFF).to(options.device)
    print(f"{options.device}, {options.threads} threads, float32, energy and forces, median of {REPEATS}\n")
    sizes(kernel, options.device, options.method, options.smallest, options.largest)
    if options.method == "auto":
        batches(kernel, options.device)


def sizes(kernel: SumOfGaussians, device: str, method: str, smallest: int, largest: int) -> None:
    """One structure of growing size, against the dense half-space sum as far as that is bearable; peak memory of the
    process.
    """
    layer = FourierConvolution(kernel, tolerance=TOLERANCE, method=method)
    print(f"| atoms | {method} / ms | µs/atom | GiB | dense / ms | dense / {method} |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for n_atoms in SIZES:
        if not smallest <= n_atoms <= largest:
            continue
        latent, positions, cell, _ = structures(1, n_atoms, device)
        ours = seconds(partial(energies, layer, latent, positions, cell, None), positions)
        row = f"| {n_atoms} | {1e3 * ours:.2f} | {1e6 * ours / n_atoms:.2f} | {peak_memory(device):.2f} |"
        if n_atoms <= 4000:
            modes = half_sphere(cell[0], layer.k_cut)
            dense = seconds(partial(dense_sum, kernel, latent, positions, cell[0], modes), positions)
            row += f" {1e3 * dense:.1f} | {dense / ours:.1f} |"
        print(row if n_atoms <= 4000 else f"{row} | |", flush=True)


def peak_memory(device: str) -> float:
    """GiB of the process so far, or of the GPU."""
    if device == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return torch.cuda.max_memory_allocated() / 2**30


def batches(kernel: SumOfGaussians, device: str) -> None:
    """Batches of structures of 192 atoms by each method, for inference and for a training step."""
    print("\n| structures of 192 atoms | method | energy and forces / ms | training step / ms |")
    print("| ---: | --- | ---: | ---: |")
    for n_structures in (1, 8, 32):
        latent, positions, cell, batch = structures(n_structures, 192, device)
        for method in ("auto", "separable", "nufft", "direct"):
            layer = FourierConvolution(kernel, tolerance=TOLERANCE, method=method)
            energy = partial(energies, layer, latent, positions, cell, batch)
            inference, training = seconds(energy, positions), seconds(energy, positions, training=True)
            print(f"| {n_structures} | {method} | {1e3 * inference:.2f} | {1e3 * training:.2f} |", flush=True)


def structures(n_structures: int, n_atoms: int, device: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Random latents, positions, cubic cells and the structure of each atom."""
    torch.manual_seed(0)
    length = (n_atoms / DENSITY) ** (1 / 3)
    cell = length * torch.eye(3).repeat(n_structures, 1, 1)
    positions = length * torch.rand(n_structures * n_atoms, 3)
    latent = torch.randn(len(positions), 1, requires_grad=True)
    batch = torch.arange(n_structures).repeat_interleave(n_atoms)
    positions, cell, batch = positions.to(device), cell.to(device), batch.to(device)
    return latent.detach().to(device).requires_grad_(), positions.requires_grad_(), cell, batch


def energies(
    layer: FourierConvolution, latent: Tensor, positions: Tensor, cell: Tensor, batch: Tensor | None
) -> Tensor:
    """Sum of the structures' energies."""
    return layer(latent, positions, cell, batch=batch).sum()


def seconds(energy: Callable[[], Tensor], positions: Tensor, training: bool = False) -> float:
    """Median time of an energy and its forces, with training also of the backward pass of a force loss."""
    one_thread = not positions.is_cuda and torch.get_num_threads() == 1
    clock = time.process_time if one_thread else time.perf_counter  # others may have the core meanwhile
    times: list[float] = []
    while len(times) < REPEATS + 2 and (len(times) < 4 or sum(times) < LONG_ENOUGH):
        if positions.is_cuda:
            torch.cuda.synchronize()
        start = clock()
        (forces,) = torch.autograd.grad(energy(), positions, create_graph=training)
        if training:
            forces.square().sum().backward()
        if positions.is_cuda:
            torch.cuda.synchronize()
        times.append(clock() - start)
    return median(times[2:])


def half_sphere(cell: Tensor, k_cut: float) -> Tensor:
    """Wave vectors of half the sphere |k| <= k_cut, (K, 3)."""
    reach = [int(k_cut * a.norm() / (2 * math.pi)) for a in cell]
    modes = torch.cartesian_prod(*[torch.arange(-n, n + 1, device=cell.device) for n in reach])
    first = modes[:, 0] * 10_000_000_000 + modes[:, 1] * 100_000 + modes[:, 2]
    k = modes[first > 0].to(cell.dtype) @ (2 * math.pi * torch.linalg.inv(cell).T)
    return k[k.square().sum(1) <= k_cut**2]


def dense_sum(kernel: SumOfGaussians, latent: Tensor, positions: Tensor, cell: Tensor, k: Tensor) -> Tensor:
    """The plain sum over half the sphere with one (atoms, modes) matrix of phases."""
    phase = positions @ k.T
    cosine, sine = latent[:, 0] @ phase.cos(), latent[:, 0] @ phase.sin()
    return (kernel.multiplier(k.square().sum(1))[0] * (cosine**2 + sine**2)).sum() / torch.linalg.det(cell)


if __name__ == "__main__":
    main()
