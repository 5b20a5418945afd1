"""Seconds of a training step and of an epoch: 7net-0 fine-tuned, and CACE of two sizes on what a frozen 7net-0 leaves.

python experiments/foundation/cost.py
"""

import resource
import subprocess
import sys
import tempfile
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

SMALL = [f"model.short_range.{name}={value}" for name, value in SIZES["small"].items()]
BASELINE = ["model/baseline=sevennet", "model.baseline.pretrained=7net-0", "model/short_range=cace"]
EPOCHS = {
    "fine-tuned": (["model/short_range=sevennet", "model.short_range.pretrained=7net-0"], 2, 12),
    "default": (BASELINE, 20, 320),
    "small": ([*BASELINE, *SMALL], 20, 320),
}
"""Settings of trainings whose epochs are timed, and few and many epochs: a run takes seconds before the first."""


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
    print("epoch", {key: round(epoch(*settings), 3) for key, settings in EPOCHS.items()})


def epoch(settings: list[str], few: int, many: int) -> float:
    """Processor seconds of an epoch of the ten near dimers, with its logs and checkpoints: of many epochs less few."""
    whole = ["~optimizer.save_history", "scheduler=cosine", "batch.batch_size=12", "test=false", "logger=csv"]
    common = ["experiment=dimers", "dataset.split=extrapolate", "optimizer=adam", *whole, *settings]
    times = []
    for n_epochs in (few, many):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with tempfile.TemporaryDirectory() as folder:
            words = [*common, f"trainer.max_epochs={n_epochs}", f"hydra.run.dir={folder}"]
            command = [sys.executable, "-c", "from sognet.cli.main import main; main()", "train", *words]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return (times[1] - times[0]) / (many - few)


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
