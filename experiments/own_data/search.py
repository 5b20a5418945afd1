"""Choice of the defaults: one change at a time on four unlike sets, a fixed number of training steps, one seed.

python experiments/own_data/search.py [--changes wide ...]     # runs what is missing, prints the table
python experiments/own_data/search.py --table

The score of a change is the geometric mean over the sets of its validation error over that of the default, of forces
and of energies; its cost is the ratio of processor time. The test splits, the other sets and the other seeds are for
reporting.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

FOLDER = Path("outputs/own_data/search")

SETS = {
    "slab": (["dataset.path=outputs/own_data/sets/slab.xyz"], 2400),
    "clusters": (["dataset.path=outputs/own_data/sets/clusters.xyz"], 4000),
    "molecules": (["dataset.path=outputs/own_data/sets/molecules.xyz"], 4000),
    "water": (["dataset=water"], 900),
}
"""Settings that name the data, and training steps: about a minute and a half of one core."""

FULL = "module.kernel_lr_factor=1"
FORMER = ["module.gradient_limit=null", FULL]
"""What batch, loss and optimizer were compared with."""

RATE, BETAS, LIMIT = "optimizer.lr=1e-2", "optimizer.betas=[0.95,0.95]", "module.gradient_limit=1"

CHANGES: dict[str, list[str]] = {
    "default": [],
    "former": FORMER,
    "former_one_structure_squared": [*FORMER, "batch.batch_size=1", "loss=squared"],
    "former_one_structure": [*FORMER, "batch.batch_size=1", "loss.huber_delta=0.1"],
    "former_huber_0.1": [*FORMER, "loss.huber_delta=0.1"],
    "former_wide": [*FORMER, "model.energy_hidden=[64,32]"],
    "former_betas_0.95": [*FORMER, BETAS],
    "former_kernel_0.1": FORMER[:1],
    "former_rate_1e-2": [*FORMER, RATE],
    "former_rate_1e-2_betas_0.95": [*FORMER, RATE, BETAS],
    "limit_1_betas_0.95": [LIMIT, FULL, BETAS],
    "limit_1_rate_1e-2_betas_0.95": [LIMIT, FULL, RATE, BETAS],
    "kernel_1": [FULL],
    "kernel_0.01": ["module.kernel_lr_factor=0.01"],
    "wide": ["model.energy_hidden=[64,32]"],
    "latents_4": ["model.n_latent=4"],
    "cutoff_6": ["model.short_range.cutoff=6"],
    "energy_1": ["loss.energy=1"],
    "dimensionless_0.1": ["loss.dimensionless=true", "loss.energy=0.1"],
    "dimensionless_0.01": ["loss.dimensionless=true", "loss.energy=0.01"],
    "averaged": ["callbacks=[default,ema]", "callbacks.ema.decay=0.99"],
    "atoms_32": ["batch.batch_size=null", "batch.max_atoms=32"],
    "small": ["model=small"],
    "large": ["model=large"],
}


def run(change: str, name: str, seed: int) -> None:
    """Train, unless the run is there."""
    data, steps = SETS[name]
    folder = FOLDER / f"{change}-{name}-{seed}"
    if (folder / "processor_time.json").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    settings = [*data, *CHANGES[change], f"steps={steps}", f"seed={seed}", "logger=csv", "test=false"]
    command = [str(Path(sys.executable).with_name("sognet")), "train", *settings, f"hydra.run.dir={folder}"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        print(f"failed: {' '.join(command)}")
        return
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    (folder / "processor_time.json").write_text(json.dumps(seconds))


def measured(change: str, name: str, seed: int) -> tuple[float, float, float] | None:
    """Validation errors of forces and energies, and processor time; None where there is no run."""
    folder = FOLDER / f"{change}-{name}-{seed}"
    if not (folder / "processor_time.json").exists():
        return None
    errors = json.loads((folder / "summary.json").read_text())["val"]
    return errors["force_rmse"], errors["energy_rmse"], json.loads((folder / "processor_time.json").read_text())


def table(seed: int) -> None:
    """Every change over the default, as Markdown."""
    default = {name: measured("default", name, seed) for name in SETS}
    print(f"| change | {' | '.join(SETS)} | forces | energies | cost |")
    print(f"| --- | {'---: | ' * (len(SETS) + 3)}")
    for change in CHANGES:
        found = {name: measured(change, name, seed) for name in SETS}
        there = [name for name in SETS if found[name] and default[name]]
        if not there:
            continue
        ratios = np.array([np.array(found[name]) / default[name] for name in there])
        forces, energies, cost = np.exp(np.log(ratios).mean(0))
        cells = [f"{found[name][0]:.1f} / {found[name][1]:.2f}" if found[name] else "" for name in SETS]
        print(f"| {change} | {' | '.join(cells)} | {forces:.3f} | {energies:.3f} | {cost:.2f} |")


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", nargs="+", choices=CHANGES, default=list(CHANGES))
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--table", action="store_true", help="only print what is there")
    options = parser.parse_args()
    if not options.table:
        for change in options.changes:
            for name in options.sets:
                run(change, name, options.seed)
    table(options.seed)


if __name__ == "__main__":
    main()
