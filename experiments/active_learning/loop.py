"""Active learning of an ion pair: simulate, collect, label, train again, until the committee is calm.

python experiments/active_learning/loop.py [--rounds 8] [--steps 300] [--limit 0.25] [--calm 0.05]

Starts from 20 structures near the minimum. Every command is kept in its folder below the outputs; what is finished is
not run again. At the end the same number of random structures is trained for comparison, and both meet a trajectory of
the reference method.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.io import read, write
from ase.md.langevin import Langevin
from ase.optimize import BFGS
from matplotlib.figure import Figure

from sognet.data.datasets.generators.molecule_pairs import MOLECULES

TEMPERATURE = 500.0  # K
TIMESTEP = 1.0  # fs
START = 20
DISPLACEMENT = 0.05  # Å
SIMULATIONS = 2  # in each round, with velocities of their own
SPACING = 40  # steps between collected frames at least


def main() -> None:
    """Run the loop and the comparison, print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outputs", type=Path, default=Path("outputs/active_learning"))
    parser.add_argument("--figures", type=Path, default=Path(__file__).parent, help="folder to draw into")
    parser.add_argument("--rounds", type=int, default=8, help="at most")
    parser.add_argument("--steps", type=int, default=300, help="training steps of each member")
    parser.add_argument("--md-steps", type=int, default=1000, help="of each simulation")
    parser.add_argument("--limit", type=float, default=0.25, help="eV/Å, of a calm committee")
    parser.add_argument("--calm", type=float, default=0.05, help="share of uncertain frames at which the loop ends")
    options = parser.parse_args()
    outputs, calm = options.outputs, options.calm * SIMULATIONS * options.md_steps / SPACING
    minimum = relaxed(outputs / "minimum.extxyz")
    test = reference_trajectory(minimum, outputs / "test.extxyz", seed=1)
    data, rows = [random_structures(minimum, START, outputs / "start", seed=0)], []
    for number in range(options.rounds):
        folder = outputs / f"round_{number}"
        train(data, folder / "committee", options.steps)
        new = simulate(folder, minimum, options)
        rows.append((sum(len(read(f, ":")) for f in data), errors(folder / "committee", test), len(new)))
        print(f"round {number}: {rows[-1][0]} structures, F {rows[-1][1]:.1f} meV/Å, {len(new)} uncertain", flush=True)
        if len(new) <= calm:
            break
        write(folder / "uncertain.extxyz", new, format="extxyz")
        data.append(label(folder / "uncertain.extxyz", folder / "labels"))
    count = rows[-1][0]
    random = [*data[:1], random_structures(minimum, count - START, outputs / "random", seed=2)]
    train(random, outputs / "random_committee", options.steps)
    others = {"random displacements": errors(outputs / "random_committee", test)}
    print("| structures | chosen by | F on the reference trajectory, meV/Å | uncertain frames |")
    print("| ---: | --- | ---: | ---: |")
    for n, error, uncertain in rows:
        print(f"| {n} | the committee | {error:.1f} | {uncertain} |")
    for name, error in others.items():
        print(f"| {count} | {name} | {error:.1f} | |")
    draw(rows, others, count).savefig(options.figures / "loop.png", dpi=150)


def relaxed(path: Path) -> Atoms:
    """The ion pair at its minimum by GFN2-xTB."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        first, second = MOLECULES["NH4+"][0].copy(), MOLECULES["BF4-"][0].copy()
        second.positions[:, 2] += 3.5
        pair = first + second
        pair.calc = tight_binding()
        BFGS(pair, logfile=None).run(fmax=0.02, steps=500)
        pair.calc = None
        write(path, pair, format="extxyz")
    return read(path)


def tight_binding() -> object:
    """The reference method."""
    from tblite.ase import TBLite

    return TBLite(method="GFN2-xTB", verbosity=0)


def reference_trajectory(minimum: Atoms, path: Path, seed: int) -> list[Atoms]:
    """100 labelled frames, 20 fs apart, of a trajectory by the reference method at the temperature of the loop."""
    if not path.exists():
        atoms, frames, rng = minimum.copy(), [], np.random.default_rng(seed)
        atoms.calc = tight_binding()
        bath = Langevin(
            atoms, TIMESTEP * units.fs, temperature_K=TEMPERATURE, friction=0.02 / units.fs, fixcm=False, rng=rng
        )
        bath.run(500)
        for _ in range(100):
            bath.run(20)
            frames.append(atoms.copy())
        write(path.with_suffix(".xyz"), frames, format="extxyz", columns=["symbols", "positions"])
        label(path.with_suffix(".xyz"), path.parent / "test")
        (path.parent / "test" / "labelled.extxyz").rename(path)
    return read(path, ":")


def random_structures(minimum: Atoms, n: int, folder: Path, seed: int) -> Path:
    """Labelled structures with random displacements of the minimum."""
    if not (folder / "labelled.extxyz").exists():
        folder.mkdir(parents=True, exist_ok=True)
        rng, frames = np.random.default_rng(seed), []
        for _ in range(n):
            frames.append(minimum.copy())
            frames[-1].positions += rng.normal(scale=DISPLACEMENT, size=minimum.positions.shape)
        write(folder / "structures.extxyz", frames, format="extxyz")
        label(folder / "structures.extxyz", folder)
    return folder / "labelled.extxyz"


def label(path: Path, folder: Path) -> Path:
    """Structures with energies and forces of the reference method."""
    if not (folder / "labelled.extxyz").exists():
        sognet("label", "calculator=tblite", "calculator.method=GFN2-xTB", f"path={path}", f"hydra.run.dir={folder}")
    return folder / "labelled.extxyz"


def train(data: list[Path], folder: Path, steps: int) -> None:
    """A committee of three, from scratch."""
    if not (folder / "summary.json").exists():
        settings = [f"dataset.path=[{','.join(map(str, data))}]", "dataset.test_fraction=0", f"steps={steps}"]
        sognet("train", *settings, "ensemble=3", "test=false", "logger=csv", f"hydra.run.dir={folder}")


def simulate(folder: Path, minimum: Atoms, options: argparse.Namespace) -> list[Atoms]:
    """Frames on which the committee disagrees, of simulations in the canonical ensemble."""
    new: list[Atoms] = []
    write(folder / "start.extxyz", minimum, format="extxyz")
    for seed in range(SIMULATIONS):
        run = folder / f"simulation_{seed}"
        if not (run / "final.extxyz").exists():
            length = [f"simulation.steps={options.md_steps}", f"simulation.timestep={TIMESTEP}", "simulation.every=20"]
            uncertain = [
                f"simulation.uncertainty.collect={options.limit}",
                f"simulation.uncertainty.stop={8 * options.limit}",
                f"simulation.uncertainty.max_frames={options.md_steps // SPACING}",
                f"simulation.uncertainty.min_steps={SPACING}",
            ]
            files = [f"checkpoint={folder / 'committee'}", f"structure={folder / 'start.extxyz'}"]
            files += [f"seed={seed + 100 * int(folder.name.split('_')[1])}", f"hydra.run.dir={run}"]
            sognet(
                "simulate",
                *files,
                f"simulation.temperature={TEMPERATURE}",
                *length,
                *uncertain,
                may_stop=run / "uncertain.extxyz",
            )
        if (run / "uncertain.extxyz").exists():
            new += read(run / "uncertain.extxyz", ":")
    return [Atoms(a.symbols, a.positions) for a in new]


def errors(folder: Path, test: list[Atoms]) -> float:
    """Force RMSE (meV/Å) of the committee's mean on a trajectory of the reference method."""
    from sognet import predict

    results = predict([Atoms(a.symbols, a.positions) for a in test], sorted(folder.glob("member_*"))).results
    found = np.array([r["forces"] for r in results])
    return 1000 * float(np.sqrt(np.mean((found - np.array([a.get_forces() for a in test])) ** 2)))


def sognet(*words: str, may_stop: Path | None = None) -> None:
    """The program; it may end with an error where it has written a file."""
    command = [sys.executable, "-c", "from sognet.cli.main import main; main()", *words]
    if subprocess.run(command).returncode and not (may_stop and may_stop.exists()):
        sys.exit(f"failed: sognet {' '.join(words)}")


def draw(rows: list[tuple[int, float, int]], others: dict[str, float], count: int) -> Figure:
    """Error on the reference trajectory, and uncertain frames, against the number of structures."""
    figure = Figure(figsize=(4.6, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.semilogy([r[0] for r in rows], [r[1] for r in rows], "o-", label="chosen by the committee")
    for number, (name, error) in enumerate(others.items()):
        axes.semilogy(count, error, "s", color=f"C{number + 1}", label=name)
    axes.set(xlabel="structures", ylabel="force RMSE / meV Å$^{-1}$")
    axes.legend(frameon=False)
    return figure


if __name__ == "__main__":
    main()
