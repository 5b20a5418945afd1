"""The electrolyte by its force field, and by models with and without long range: structure, screening, diffusion.

python experiments/electrolyte_md/electrolyte_md.py [--folder outputs/electrolyte_md] [--epochs 150] [--steps 15000]

Whatever is there already is kept, and interrupted trainings and simulations go on.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from force_field import SCREENED, SETTINGS, reference, start
from matplotlib.figure import Figure

from sognet.trajectories.tables import read_table

REFERENCE = "force field"
MODELS = {"long range": [], "short range": ["model/long_range=none"]}
NAMES = {REFERENCE: "force field", "long range": "with the layer", "short range": "short range alone"}
COLOURS = {REFERENCE: "k", "long range": "tab:blue", "short range": "tab:orange"}
EQUILIBRATION = 0.1  # of a simulation
COMPARED = 2.4  # Å, from where distances occur


def main() -> None:
    """Trainings, simulations, table and figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("outputs/electrolyte_md"))
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--steps", type=int, default=15000)
    options = parser.parse_args()
    folder = options.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    first = start(folder / "start.extxyz")
    errors = {REFERENCE: "", **{name: test_error(train(folder, name, options.epochs)) for name in MODELS}}
    analyses = {REFERENCE: analysis(reference(first, folder / "reference", options.steps), folder / "analysis")}
    for name in MODELS:
        trajectory = simulate(folder, name, first, options.steps)
        analyses[name] = analysis([trajectory], trajectory.parent / "analysis")
    print_table(analyses, errors)
    draw(analyses, folder / "electrolyte_md.png")


def train(folder: Path, name: str, epochs: int) -> Path:
    """Folder of a trained model."""
    run = folder / name.replace(" ", "_")
    if not (run / "summary.json").exists():
        words = ["experiment=electrolyte", *MODELS[name], f"epochs={epochs}", "logger=csv"]
        sognet("train", *([f"resume={run}"] if (run / "config.yaml").exists() else words), f"hydra.run.dir={run}")
    return run


def test_error(run: Path) -> str:
    """Force RMSE of the test structures, meV/Å."""
    return f"{json.loads((run / 'summary.json').read_text())['test']['force_rmse']:.2f}"


def simulate(folder: Path, name: str, first: Path, steps: int) -> Path:
    """Trajectory of a model."""
    run = folder / f"{name.replace(' ', '_')}_md"
    if not (run / "restart.npz").exists():
        files = [f"checkpoint={folder / name.replace(' ', '_')}", f"structure={first}"]
        names = ("timestep", "every", "temperature", "thermostat", "thermostat_time")
        settings = [f"simulation.{n}={getattr(SETTINGS, n)}" for n in names]
        sognet("simulate", *files, "simulation=nvt", f"simulation.steps={steps}", *settings, f"hydra.run.dir={run}")
    elif read_table(run / "thermo.csv")["step"][-1] < steps:
        sognet("simulate", f"resume={run}", f"simulation.steps={steps}")
    return run / "trajectory.extxyz"


def analysis(trajectory: list[Path], folder: Path) -> Path:
    """Folder of what `sognet analyze` finds in a trajectory."""
    done = folder / "analysis.json"
    if not done.exists() or done.stat().st_mtime < trajectory[-1].stat().st_mtime:
        n_frames = sum(path.read_text().count("Lattice=") for path in trajectory)
        charges = ",".join(f"{symbol}: {charge}" for symbol, charge in SCREENED.items())
        sognet(
            "analyze",
            f"trajectory=[{','.join(map(str, trajectory))}]",
            f"skip={int(EQUILIBRATION * n_frames)}",
            f"charges={{{charges}}}",
            "quantities=[rdf,msd,charge_structure]",
            "r_width=0.1",
            f"hydra.run.dir={folder}",
        )
    return folder


def sognet(*words: str) -> None:
    """The program, with one thread."""
    program = str(Path(sys.executable).with_name("sognet"))
    subprocess.run([program, *words], env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)


def print_table(analyses: dict[str, Path], errors: dict[str, str]) -> None:
    """Peak of g, screening and diffusion with errors, and how far curves are from those of the force field."""
    print("| | " + " | ".join(NAMES[name] for name in analyses) + " |\n| --- |" + " ---: |" * len(analyses))
    rdf = {name: read_table(folder / "rdf.csv") for name, folder in analyses.items()}
    structure = {name: read_table(folder / "charge_structure.csv") for name, folder in analyses.items()}
    found = {name: json.loads((folder / "analysis.json").read_text()) for name, folder in analyses.items()}
    rows = {"test force RMSE, meV/Å": list(errors.values())}
    peak = rdf[REFERENCE]["g Na-Cl"].argmax()
    label = f"g Na-Cl at {rdf[REFERENCE]['r (Å)'][peak]:.2f} Å, the peak"
    rows[label] = [value(table, "g Na-Cl", peak) for table in rdf.values()]
    for pair in ("Na-Cl", "Na-Na", "Cl-Cl"):
        rows[f"rms distance of g {pair}, in errors"] = distances(rdf, f"g {pair}", "r (Å)", COMPARED)
    for n in range(3):
        k = structure[REFERENCE]["k (1/Å)"][n]
        rows[f"S(k) / k² at k = {k:.3f} 1/Å, of a conductor 1 at k → 0"] = [
            value(c, "screening", n) for c in structure.values()
        ]
    rows["rms distance of S(k), in errors"] = distances(structure, "screening", "k (1/Å)", 0.0)
    for symbol in SCREENED:
        numbers = [1e9 * np.array(list(f["msd"]["diffusion"][symbol].values())[:2]) for f in found.values()]
        rows[f"diffusion of {symbol}, 10⁻⁹ m²/s"] = [f"{d:.1f} ± {error:.1f}" for d, error in numbers]
    for label, values in rows.items():
        print(f"| {label} | {' | '.join(values)} |")


def value(table: dict[str, np.ndarray], name: str, row: int) -> str:
    """A value with its error."""
    return f"{table[name][row]:.3f} ± {table[f'error of {name}'][row]:.3f}"


def distances(tables: dict[str, dict[str, np.ndarray]], name: str, across: str, least: float) -> list[str]:
    """Root mean square of the difference to the force field in units of its standard error; 1 where both agree."""
    reference, found = tables[REFERENCE], [""]
    for table in list(tables.values())[1:]:
        error = np.hypot(table[f"error of {name}"], reference[f"error of {name}"])
        use = (reference[across] > least) & (error > 0)
        found.append(f"{np.sqrt(np.mean(((table[name] - reference[name])[use] / error[use]) ** 2)):.1f}")
    return found


def draw(analyses: dict[str, Path], path: Path) -> None:
    """Radial distributions and the screening."""
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    panels = (
        ("rdf.csv", "r (Å)", "g Na-Cl", "r / Å", "g of Na–Cl"),
        ("rdf.csv", "r (Å)", "g Na-Na", "r / Å", "g of Na–Na"),
        ("charge_structure.csv", "k (1/Å)", "screening", "k / 1/Å", "S(k) / k², of a conductor 1 at k → 0"),
    )
    for axes, (file, across, column, xlabel, ylabel) in zip(figure.subplots(1, 3), panels, strict=True):
        for name, folder in analyses.items():
            table = read_table(folder / file)
            curve, error = table[column], table[f"error of {column}"]
            style = "--" if name == REFERENCE else "-"
            axes.plot(table[across], curve, style, color=COLOURS[name], label=NAMES[name])
            axes.fill_between(table[across], curve - error, curve + error, color=COLOURS[name], alpha=0.2, lw=0)
        axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.axhline(1, color="0.6", lw=0.8)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
