"""Share of the long-range layer in a training step of models of other packages: 192 atoms of water, one thread.

python experiments/foundation/share.py [--models mace nequip sevennet chgnet]

Processor time, so that other programs on the machine count less. Each package in its environment
(make adapter-env PACKAGE=mace); those that are not installed are left out.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec

import torch
from cost import layer, water

from sognet import SOGNet
from sognet.data import Keys, Structure
from sognet.data.graph import build_batch

MODELS = {  # package, its distribution, settings of the adapter
    "mace": ("mace", "mace-torch", {}),
    "nequip": ("nequip", "nequip", {}),
    "sevennet": ("sevenn", "sevenn", {"pretrained": "7net-0"}),
    "chgnet": ("chgnet", "chgnet", {"pretrained": "0.3.0"}),
}


def main() -> None:
    """Print a row for each adapter."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| model | release | cutoff / Å | step / s | layer / ms | share |\n| --- | --- | ---: | ---: | ---: | ---: |")
    for name in options.models:
        package, distribution, settings = MODELS[name]
        if find_spec(package) is None:
            continue
        short_range = import_module(f"sognet.short_range.{name}").configured(["H", "O"], **settings)
        model = SOGNet(short_range, layer()).train()
        graph = build_batch([Structure.from_atoms(water(), Keys(energy=None, forces=None), "water")], model.cutoff)
        whole = processor_time(partial(step, model, graph), 3)
        alone = processor_time(partial(layer_step, model, graph), 20)
        print(
            f"| {name} | {distribution} {version(distribution)} | {model.cutoff:g} | {whole:.2f} | {1e3 * alone:.1f} | "
            f"{alone / whole:.1%} |",
            flush=True,
        )


def step(model: SOGNet, graph) -> None:
    """A training step on energies and forces, without the optimizer."""
    model.zero_grad()
    out = model(graph, stress=False)
    (out["forces"].square().sum() + out["energy"].square().sum()).backward()


def layer_step(model: SOGNet, graph) -> None:
    """What the layer adds to it: its energy, the forces of it, and the derivatives of both."""
    positions = graph.pos.to(model.dtype).requires_grad_()
    latent = torch.ones(len(positions), model.n_latent, requires_grad=True)
    energy = model.long_range(latent, positions, graph.cell.to(model.dtype), graph.pbc, graph.batch)
    forces = torch.autograd.grad(energy.sum(), [positions, latent], create_graph=True)
    (sum(force.square().sum() for force in forces) + energy.square().sum()).backward()


def processor_time(work: Callable[[], None], repeats: int) -> float:
    """Shortest of some repeats in seconds, after one that is not counted."""
    times = []
    for _ in range(repeats + 1):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times[1:])


if __name__ == "__main__":
    main()
