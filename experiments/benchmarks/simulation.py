"""Steps per second of molecular dynamics of water: with and without the layer, and beside other packages.

python experiments/benchmarks/simulation.py [--sizes 192 1536 12288] [--others 192 1536] [--models 7net-0]

One thread, float32, velocity Verlet of ASE by 0.5 fs. Times are those of the processor, in which other work counts
little, and what is compared takes turns. The models are the default ones after 200 training steps. MACE runs in an
environment of its own (make adapter-env PACKAGE=mace), with `--sizes --models MACE`.
"""

import argparse
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.md.verlet import VelocityVerlet
from torch import nn

from sognet import SOGNet, SOGNetCalculator
from sognet.data import water
from sognet.long_range import FourierConvolution, SumOfGaussians

MODELS = {"with": [], "without": ["model/long_range=none"]}
ATOM_STEPS = 4000
"""Atoms times steps of a round."""


def main() -> None:
    """Both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[192, 1536, 12288])
    parser.add_argument("--others", type=int, nargs="*", default=[192, 1536], help="sizes beside other packages")
    parser.add_argument("--folder", type=Path, default=Path("outputs/benchmarks/simulation"))
    parser.add_argument("--models", nargs="+", choices=OTHERS, default=["7net-0"], help="of other packages")
    parser.add_argument("--rounds", type=int, default=5, help="of each; the median counts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    if options.sizes:
        checkpoints = {name: train(options.folder.absolute(), name) for name in MODELS}
        print("| atoms | with, steps/s | without | time, with / without | calculator's overhead, with | without |")
        print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for size in options.sizes:
        runs = {name: Run(SOGNetCalculator(path), size, with_model=True) for name, path in checkpoints.items()}
        take_turns(runs, options.rounds)
        seconds = {name: run.seconds_per_step() for name, run in runs.items()}
        ratio = seconds["with"] / seconds["without"]
        overheads = " | ".join(f"{run.overhead():.1%}" for run in runs.values())
        print(
            f"| {size} | {1 / seconds['with']:.3g} | {1 / seconds['without']:.3g} | {ratio:.2f} | {overheads} |",
            flush=True,
        )
    if options.others:
        print("\n| model | atoms | its own calculator, steps/s | here | with the layer | here / its own |")
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name in options.models if options.others else ():
        for size in options.others:
            runs = {
                key: Run(calculator, size, with_model=False, atom_steps=400)
                for key, calculator in OTHERS[name]().items()
            }
            take_turns(runs, 2)
            own, here, layer = (1 / run.seconds_per_step() for run in runs.values())
            print(f"| {name} | {size} | {own:.3g} | {here:.3g} | {layer:.3g} | {here / own:.2f} |", flush=True)


class Run:
    """Dynamics of water by a calculator, with the times of its steps and of what the calculator is asked for.

    Parameters
    ----------
    calculator : of energies and forces.
    size : atoms; 192 times a cube.
    with_model : whether the time of the model alone is taken as well.
    atom_steps : atoms times steps of a round, at least one step.
    """

    def __init__(self, calculator: Calculator, size: int, with_model: bool, atom_steps: int = ATOM_STEPS) -> None:
        structure = water().test[0]
        atoms = Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=True)
        self.atoms = atoms.repeat(round((size / len(atoms)) ** (1 / 3)))
        if len(self.atoms) != size:
            raise SystemExit(f"{size} atoms are not a cube of cells of {len(atoms)}")
        MaxwellBoltzmannDistribution(self.atoms, temperature_K=300, rng=np.random.default_rng(0))
        self.atoms.calc = self.calculator = calculator
        self.dynamics = VelocityVerlet(self.atoms, 0.5 * units.fs)
        self.steps = max(1, atom_steps // size)
        self.with_model = with_model
        self.of_steps: list[float] = []
        self.of_calculator: list[float] = []
        self.of_model: list[float] = []

    def round(self) -> None:
        """Some steps, and after each what the model alone takes."""
        evaluate = self.calculator.calculate
        inside: list[float] = []
        self.calculator.calculate = lambda *args: inside.append(seconds(lambda: evaluate(*args)))
        total = 0.0
        for _ in range(self.steps):
            total += seconds(self.dynamics.step)
            if self.with_model:
                self.of_model.append(self.model_alone())
        self.calculator.calculate = evaluate
        self.of_steps.append(total / self.steps)
        self.of_calculator += inside

    def forget(self) -> None:
        """Drop the times so far."""
        for times in (self.of_steps, self.of_calculator, self.of_model):
            times.clear()

    def model_alone(self) -> float:
        """Seconds of model(graph) at the positions of the last step, which makes its plan itself."""
        evaluator = self.calculator.evaluator
        model = evaluator.members[0]
        graph = evaluator.moving.graph(evaluator.structure(self.atoms, "atoms"), model.cutoff)
        return seconds(lambda: model(graph, stress=False))

    def seconds_per_step(self) -> float:
        """Median over the rounds."""
        return float(np.median(self.of_steps))

    def overhead(self) -> float:
        """What the calculator takes beyond the model, as a share of the model."""
        return float(np.mean(self.of_calculator) / np.mean(self.of_model) - 1)


def take_turns(runs: dict[str, Run], n_rounds: int) -> None:
    """Rounds of all, one after the other; the first is not counted."""
    for number in range(n_rounds + 1):
        for run in runs.values():
            if number == 1:
                run.forget()
            run.round()


def seconds(work: Callable[[], object]) -> float:
    """Of the processor."""
    before = time.process_time()
    work()
    return time.process_time() - before


def train(folder: Path, name: str) -> Path:
    """Folder of a model after 200 training steps."""
    run = folder / name
    if not (run / "summary.json").exists():
        words = ["dataset=water", *MODELS[name], "steps=200", "logger=csv", f"hydra.run.dir={run}"]
        program = str(Path(sys.executable).with_name("sognet"))
        subprocess.run([program, "train", *words], env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)
    return run


def sevennet_calculators() -> dict[str, Calculator]:
    """7net-0."""
    from sevenn.calculator import SevenNetCalculator

    from sognet.short_range.sevennet import trained

    return calculators(SevenNetCalculator("7net-0", device="cpu"), trained("7net-0"))


def mace_calculators() -> dict[str, Calculator]:
    """MACE of 32x0e+32x1o and 5 Å, with weights as they start."""
    from mace.calculators import MACECalculator

    from sognet.short_range.mace import configured

    short_range = configured(["H", "O"], cutoff=5.0, hidden_irreps="32x0e+32x1o")
    return calculators(MACECalculator(models=short_range.network, default_dtype="float32"), short_range)


def calculators(own: Calculator, short_range: nn.Module) -> dict[str, Calculator]:
    """A model by the calculator of its package, by that of sognet, and with the layer at its initial kernel."""
    layer = FourierConvolution(SumOfGaussians.power_law(1.0, short_range.cutoff), tolerance=1e-4)
    return {
        "own": own,
        "here": SOGNetCalculator(SOGNet(short_range, None)),
        "layer": SOGNetCalculator(SOGNet(short_range, layer)),
    }


OTHERS = {"7net-0": sevennet_calculators, "MACE": mace_calculators}
"""Models of other packages."""


if __name__ == "__main__":
    main()
