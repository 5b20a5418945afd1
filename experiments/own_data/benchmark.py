"""Defaults on every data set, beside their short-range control: one row after the other, those that are there are kept.

python experiments/own_data/sets.py
python experiments/own_data/benchmark.py [--epochs 10] [--seeds 1 2 3] [--sets slab] [--variants default ...]
python experiments/own_data/benchmark.py --table

Each run has one core. The table has means over seeds and their standard errors.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

FOLDER = Path("outputs/own_data")

SETS = {
    "slab": [f"dataset.path={FOLDER}/sets/slab.xyz"],
    "alloy": [f"dataset.path={FOLDER}/sets/alloy.xyz"],
    "clusters": [f"dataset.path={FOLDER}/sets/clusters.xyz"],
    "molecules": [f"dataset.path={FOLDER}/sets/molecules.xyz"],
    "electrolyte": ["dataset=electrolyte"],
    "kf_water": ["dataset=kf_water"],
    "water": ["dataset=water"],
    "dipeptides": ["dataset=dipeptides", "dataset.splits=[train,val]"],
    "dimers_CC": ["dataset=dimers", "dataset.pair=CC"],
    "dimers_PP": ["dataset=dimers", "dataset.pair=PP"],
}
"""Settings that name the data; there are no others."""

VARIANTS = {"default": [], "short range": ["model/long_range=none"]}

FROM_ZERO = ["model.initial_charges=null"]
SMALL = [*FROM_ZERO, "model.element_latents=false"]
PARTS = {
    "plain layer": [*SMALL, "model.neutral=false", "model.latent_scale=1"],
    "small and neutral": SMALL,
    "element latents": FROM_ZERO,
    "known charges": [*FROM_ZERO, "model.charges={Na: 1.0, Cl: -1.0}"],
}
"""The default without some of its parts, and, for the clusters, with the true charges."""


def run(name: str, variant: str, epochs: int, seed: int) -> None:
    """Train, unless the row is there; a run that was interrupted goes on."""
    folder = place(name, variant, epochs, seed)
    if (folder / "summary.json").exists():
        return
    command = [str(Path(sys.executable).with_name("sognet")), "train"]
    if (folder / "checkpoints" / "last.ckpt").exists():
        command += [f"resume={folder}"]
    else:
        shutil.rmtree(folder, ignore_errors=True)  # of a run that ended before its first checkpoint
        command += [
            *SETS[name],
            *(VARIANTS | PARTS)[variant],
            f"trainer.max_epochs={epochs}",
            f"seed={seed}",
            "logger=csv",
        ]
        command += [f"hydra.run.dir={folder}"]
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
    if done.returncode:
        print(f"failed: {' '.join(command)}")


def place(name: str, variant: str, epochs: int, seed: int) -> Path:
    """Folder of a run."""
    return FOLDER / "runs" / f"{name}-{variant.replace(' ', '_')}-{epochs}epochs-{seed}"


def table() -> None:
    """Force and energy errors of what is there, as Markdown."""
    found = defaultdict(list)
    for file in sorted((FOLDER / "runs").glob("*/summary.json")):
        name, variant, epochs, _ = file.parent.name.split("-")
        summary = json.loads(file.read_text())
        split = summary.get("test") or summary["val"]
        found[name, int(epochs.removesuffix("epochs")), variant].append((split["force_rmse"], split["energy_rmse"]))
    print("| data | epochs | model | force RMSE, meV/Å | energy RMSE, meV/atom | seeds |")
    print("| --- | ---: | --- | ---: | ---: | ---: |")
    for (name, epochs, variant), errors in sorted(found.items()):
        forces, energies = (stated(np.array(values)) for values in zip(*errors, strict=True))
        print(f"| {name} | {epochs} | {variant.replace('_', ' ')} | {forces} | {energies} | {len(errors)} |")


def stated(values: np.ndarray) -> str:
    """Mean and standard error."""
    error = f" ± {values.std(ddof=1) / len(values) ** 0.5:.2g}" if len(values) > 1 else ""
    return f"{values.mean():.3g}{error}"


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS | PARTS, default=list(VARIANTS))
    parser.add_argument("--table", action="store_true", help="only print what is there")
    options = parser.parse_args()
    if not options.table:
        for seed in options.seeds:
            for name in options.sets:
                for variant in options.variants:
                    run(name, variant, options.epochs, seed)
    table()


if __name__ == "__main__":
    main()
