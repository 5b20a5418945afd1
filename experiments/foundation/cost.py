"""Seconds of a training step: 7net-0 fine-tuned, and CACE of two sizes on what a frozen 7net-0 leaves, with the layer.

python experiments/foundation/cost.py
"""

import time

import numpy as np
import torch
from ase import Atoms
from ase.build import molecule

from sognet import SOGNet
from sognet.data import Keys, Structure, dimers
from sognet.data.graph import build_batch
from sognet.long_range import FourierConvolution, SumOfGaussians
from sognet.model.baseline import bring_baseline
from sognet.short_range import CACE
from sognet.short_range.sevennet import trained

SIZES = {
    "default": {"n_radial": 12, "l_max": 3, "nu_max": 3, "n_embedding": 4},
    "small": {"n_radial": 8, "l_max": 2, "nu_max": 2, "n_embedding": 3},
}


def main() -> None:
    """Print the table."""
    systems = {
        "12 dimers": (dimers(pair="CC").train, ["H", "C", "N", "O"]),
        "192 atoms of water": ([Structure.from_atoms(water(), Keys(energy=None, forces=None), "water")], ["H", "O"]),
    }
    for name, (structures, species) in systems.items():
        batch = build_batch(structures, 5.0)
        found = {"fine-tuned": seconds(SOGNet(trained("7net-0"), layer()), batch)}
        for size, settings in SIZES.items():
            model = SOGNet(CACE(species, 5.0, **settings), layer(), standardize=True, baseline=trained("7net-0"))
            bring_baseline(model.baseline, batch, 5.0)
            found[size] = seconds(model, batch)
        print(name, {key: round(value, 4) for key, value in found.items()})


def layer() -> FourierConvolution:
    """The long-range layer."""
    return FourierConvolution(SumOfGaussians.power_law(1.0, 5.0))


def water(per_side: int = 4) -> Atoms:
    """Molecules on a lattice at the density of the liquid, turned at random."""
    rng, spacing = np.random.default_rng(0), 29.9 ** (1 / 3)
    atoms = Atoms(cell=3 * [per_side * spacing], pbc=True)
    for site in np.ndindex(per_side, per_side, per_side):
        one = molecule("H2O")
        one.positions = one.positions @ np.linalg.qr(rng.normal(size=(3, 3)))[0] + spacing * np.array(site)
        atoms += one
    return atoms


def seconds(model: SOGNet, batch, repeats: int = 4) -> float:
    """Shortest of some training steps on energies and forces."""
    optimizer, times = torch.optim.Adam([p for p in model.train().parameters() if p.requires_grad], 1e-4), []
    for _ in range(repeats):
        start = time.perf_counter()
        optimizer.zero_grad()
        out = model(batch, stress=False)
        (out["forces"].square().sum() + out["energy"].square().sum()).backward()
        optimizer.step()
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    main()
