"""Ions between charged walls, with and without long range: errors, energy against distance, density of charge.

python experiments/slab/slab.py [--folder outputs/slab] [--epochs 40] [--steps 20000]

Whatever is there already is kept, and interrupted trainings and simulations go on.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.io import iread, write
from capacitor import CHARGES, SIDE, TEMPERATURE, TIMESTEP, SlabCalculator, dynamics, filled, frames, walls
from matplotlib.figure import Figure

from sognet import SOGNetCalculator

MODELS = {"long range": ["module.kernel_lr_factor=1"], "short range": ["model/long_range=none"]}
REFERENCE = "reference"
DISTANCES = np.linspace(8.0, 60.0, 53)  # Å between empty walls; the structures end at 24
DISTANCE, N_PAIRS = 24.0, 8  # of the simulations
EVERY = 20
EQUILIBRATION = 0.1  # of a simulation
COLOURS = {REFERENCE: "k", "long range": "tab:blue", "short range": "tab:orange"}


def make_data(folder: Path) -> None:
    """250 structures for training and validation, 50 of other trajectories for the test."""
    for name, n_trajectories, seed in (("train", 25, 0), ("test", 5, 1)):
        path = folder / f"{name}.extxyz"
        if not path.exists():
            write(path.with_suffix(".part"), list(frames(n_trajectories, np.random.default_rng(seed))), format="extxyz")
            path.with_suffix(".part").rename(path)


def train(folder: Path, name: str, epochs: int) -> Path:
    """Folder of a model trained by defaults."""
    run = folder / name.replace(" ", "_")
    if not (run / "summary.json").exists():
        data = [f"dataset.path={folder / 'train.extxyz'}", f"dataset.test_path={folder / 'test.extxyz'}"]
        words = [*data, *MODELS[name], f"epochs={epochs}", "logger=csv"]
        sognet("train", *([f"resume={run}"] if (run / "config.yaml").exists() else words), f"hydra.run.dir={run}")
    return run


def simulate(folder: Path, name: str, steps: int) -> list[Atoms]:
    """Frames of ions at 300 K between walls that stay."""
    path = folder / f"{name.replace(' ', '_')}_md" / "trajectory.extxyz"
    start = filled(DISTANCE, N_PAIRS, np.random.default_rng(2))
    if name == REFERENCE:
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            moved, found = dynamics(start, np.random.default_rng(3)), []
            moved.attach(lambda: found.append(start.copy()), interval=EVERY)
            moved.run(steps)
            write(path, found, format="extxyz")
    elif not (path.parent / "final.extxyz").exists():
        write(folder / "start.extxyz", start, columns=["symbols", "positions", "move_mask"])
        length = [f"simulation.steps={steps}", f"simulation.timestep={TIMESTEP}", f"simulation.every={EVERY}"]
        bath = [f"simulation.temperature={TEMPERATURE}", "simulation.thermostat_time=333"]
        files = [f"checkpoint={folder / name.replace(' ', '_')}", f"structure={folder / 'start.extxyz'}"]
        sognet("simulate", *files, "simulation=nvt", *length, *bath, f"hydra.run.dir={path.parent}")
    read = list(iread(path, ":"))
    return read[int(EQUILIBRATION * len(read)) :]


def sognet(*words: str) -> None:
    """The program, with one thread."""
    program = str(Path(sys.executable).with_name("sognet"))
    subprocess.run([program, *words], env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)


def energies(calculator: Calculator) -> np.ndarray:
    """Energy of two empty walls over their distances, eV, and zero at the first."""
    found = []
    for distance in DISTANCES:
        atoms = walls(distance)
        atoms.calc = calculator
        found.append(atoms.get_potential_energy())
    return np.array(found) - found[0]


def profile(trajectory: list[Atoms], symbol: str, n_bins: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Concentration of an element in mol/L over z, and its error by five blocks."""
    edges = np.linspace(0, DISTANCE, n_bins + 1)
    counts = np.array([np.histogram(a.positions[a.symbols == symbol, 2], edges)[0] for a in trajectory])
    blocks = np.array([block.mean(0) for block in np.array_split(counts, 5)])
    molar = 1660.54 / (SIDE**2 * DISTANCE / n_bins)
    return molar * blocks.mean(0), molar * blocks.std(0, ddof=1) / 5**0.5


def draw(curves: dict[str, np.ndarray], profiles: dict[str, dict[str, tuple]], path: Path) -> None:
    """Energies over distance, and concentrations of both ions."""
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    of_energy, *of_ions = figure.subplots(1, 3)
    for name, values in curves.items():
        of_energy.plot(DISTANCES, values, COLOURS[name], ls="--" if name == REFERENCE else "-", label=name)
    of_energy.axvspan(10, 24, color="0.85", lw=0, label="trained on")
    of_energy.set(xlabel="distance of the walls / Å", ylabel="energy / eV")
    of_energy.legend(frameon=False, loc="upper left", fontsize=8)
    for axes, symbol in zip(of_ions, ("Na", "Cl"), strict=True):
        for name, found in profiles.items():
            value, error = found[symbol]
            z = (np.arange(len(value)) + 0.5) * DISTANCE / len(value)
            axes.plot(z, value, COLOURS[name], ls="--" if name == REFERENCE else "-", label=name)
            axes.fill_between(z, value - error, value + error, color=COLOURS[name], alpha=0.2, lw=0)
        axes.set(
            xlabel="z / Å (walls of +2 e at 0, −2 e at 24)", ylabel=f"{symbol} of {CHARGES[symbol]:+.0f} e / mol/L"
        )
    figure.savefig(path, dpi=150)


def main() -> None:
    """Data, trainings, simulations, table and figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("outputs/slab"))
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--steps", type=int, default=20000)
    options = parser.parse_args()
    folder = options.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    make_data(folder)
    curves = {REFERENCE: energies(SlabCalculator())}
    reference = simulate(folder, REFERENCE, 2 * options.steps)  # it is cheap, and its errors are those of the table
    profiles = {REFERENCE: {s: profile(reference, s) for s in ("Na", "Cl")}}
    print("| model | forces, meV/Å | energy, meV/atom | slope from 41 to 60 Å, eV/Å | ions at the opposite wall |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name in (REFERENCE, *MODELS):
        errors = ["", ""]
        if name != REFERENCE:
            run = train(folder, name, options.epochs)
            test = json.loads((run / "summary.json").read_text())["test"]
            errors = [f"{test['force_rmse']:.2f}", f"{test['energy_rmse']:.3f}"]
            curves[name] = energies(SOGNetCalculator(run, dtype="float64"))
            trajectory = simulate(folder, name, options.steps)
            profiles[name] = {symbol: profile(trajectory, symbol) for symbol in ("Na", "Cl")}
        slope = np.polyfit(DISTANCES[-20:], curves[name][-20:], 1)[0]
        share, of_share = share_in_layers(profiles[name])
        print(f"| {name} | {' | '.join(errors)} | {slope:.4f} | {100 * share:.1f} ± {100 * of_share:.1f} % |")
    draw(curves, profiles, folder / "slab.png")


def share_in_layers(found: dict[str, tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """Share of the ions within 5 Å of the wall of the opposite sign, and its error."""
    (na, na_error), (cl, cl_error) = found["Na"], found["Cl"]
    near = round(5.0 / DISTANCE * len(na))
    share = (na[-near:].sum() + cl[:near].sum()) / (na.sum() + cl.sum())
    error = np.sqrt(np.square(na_error[-near:]).sum() + np.square(cl_error[:near]).sum()) / (na.sum() + cl.sum())
    return float(share), float(error)


if __name__ == "__main__":
    main()
