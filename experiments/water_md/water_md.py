"""Liquid water by models with and without long range: structure, charge structure factor, a slab, energy conservation.

python experiments/water_md/water_md.py [--folder outputs/water_md] [--epochs 20] [--bulk 50] [--large 10] [--slab 0]
python experiments/water_md/water_md.py --drift 20

Lengths are in ps; 0 leaves a part out. Whatever is there already is kept, and what was interrupted goes on.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from drift import print_drift
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from runs import MODELS, analysis, simulate, starts, train

from sognet.trajectories.tables import read_table

TIMESTEP = 1.0  # fs
THERMOSTAT = ["simulation=nvt", "simulation.thermostat=bussi", "simulation.temperature=300", "simulation.every=20"]
QUANTITIES = "quantities=[rdf,charge_structure,msd,hydrogen_bonds]"
DATA = "data"
NAMES = {DATA: "frames of the data", "long range": "with the layer", "short range": "short range alone"}
COLOURS = {DATA: "k", "long range": "tab:blue", "short range": "tab:orange"}
CAGE = 1.0  # ps, until which neighbours hold a molecule, and its mean-square displacement says nothing of diffusion
PEAKS = {"O-O": (2.5, 3.1), "O-H": (1.5, 2.1), "H-H": (2.0, 2.8)}  # Å, where the first one between molecules is


def main() -> None:
    """Trainings, simulations, tables and figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("outputs/water_md"))
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--bulk", type=float, default=50.0, help="ps of 192 atoms at 300 K")
    parser.add_argument("--large", type=float, default=10.0, help="ps of 1536 atoms at 300 K")
    parser.add_argument("--slab", type=float, default=0.0, help="ps of a slab of 192 atoms at 300 K")
    parser.add_argument("--drift", type=float, default=0.0, help="ps of NVE with the layer, instead of the rest")
    options = parser.parse_args()
    folder = options.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    files = starts(folder)
    if options.drift:
        print_drift(train(folder, "long range", options.epochs), files["bulk"], folder / "drift", options.drift)
        return
    models = {name: train(folder, name, options.epochs) for name in MODELS}
    lengths = {"bulk": options.bulk, "large": options.large, "slab": options.slab}
    runs = {
        (size, name): simulate(
            folder / f"{size}_{name.replace(' ', '_')}",
            length,
            TIMESTEP,
            f"checkpoint={model}",
            f"structure={files[size]}",
            *THERMOSTAT,
        )
        for size, length in lengths.items()
        if length
        for name, model in models.items()
    }
    if options.bulk:
        found = {
            DATA: analysis(files["data"], 0, "quantities=[rdf,charge_structure,hydrogen_bonds]", "temperature=300")
        }
        found |= {name: analyzed(runs["bulk", name], QUANTITIES) for name in MODELS}
        large = {
            name: analyzed(runs["large", name], "quantities=[rdf,charge_structure]") for name in MODELS if options.large
        }
        print_table(found, large, models, runs)
        draw(found, large, folder / "water_md.png")
    if options.slab:
        profiles = {name: analyzed(runs["slab", name], "quantities=[profiles,orientation]") for name in MODELS}
        draw_slab(profiles, folder / "slab.png")


def analyzed(run: Path, *words: str) -> Path:
    """Folder of the analysis of a simulation, without its first tenth."""
    return analysis(run / "trajectory.extxyz", len(read_table(run / "thermo.csv")["step"]) // 10, *words)


def print_table(found: dict[str, Path], large: dict[str, Path], models: dict[str, Path], runs: dict) -> None:
    """Errors of the models, and what their trajectories have beside the data."""
    print("| | " + " | ".join(NAMES[name] for name in found) + " |\n| --- |" + " ---: |" * len(found))
    rows = {}
    for label, key in (("test force RMSE, meV/Å", "force_rmse"), ("test energy RMSE, meV/atom", "energy_rmse")):
        errors = [json.loads((run / "summary.json").read_text())["test"][key] for run in models.values()]
        rows[label] = ["", *(f"{error:.3g}" for error in errors)]
    thermo = [read_table(runs["bulk", name] / "thermo.csv") for name in models]
    rows["length, ps"] = ["", *(f"{t['time (ps)'][-1]:g}" for t in thermo)]
    rows["mean temperature, K"] = ["", *(f"{second_half(t['temperature (K)']):.0f}" for t in thermo)]
    rows["mean pressure, GPa"] = ["", *(f"{second_half(t['pressure (GPa)']):.2f}" for t in thermo)]
    rdf = {name: read_table(folder / "rdf.csv") for name, folder in found.items()}
    for pair, (low, high) in PEAKS.items():
        rows[f"g {pair}: first peak between molecules"] = [
            peak(table, f"g {pair}", low, high) for table in rdf.values()
        ]
    rows["least g O-O between 3 and 4 Å"] = [least(table, "g O-O", 3.0, 4.0) for table in rdf.values()]
    for label, folders in (("192 atoms", found), ("1536 atoms", large)):
        tables = {name: read_table(folder / "charge_structure.csv") for name, folder in folders.items()}
        for n in range(2 if tables else 0):
            k = next(iter(tables.values()))["k (1/Å)"][n]
            rows[f"S at k = {k:.2f} 1/Å, 10⁻³ e², {label}"] = [
                factor(tables[name], n) if name in tables else "" for name in found
            ]
    numbers = {name: json.loads((folder / "analysis.json").read_text()) for name, folder in found.items()}
    bonds = [n["hydrogen_bonds"] for n in numbers.values()]
    rows["hydrogen bonds of a molecule"] = [f"{b['per molecule']:.2f} ± {b['error']:.2f}" for b in bonds]
    rows["diffusion of O, 10⁻⁹ m²/s"] = ["", *(diffusion_of_oxygen(numbers[name]) for name in models)]
    for label, values in rows.items():
        print(f"| {label} | {' | '.join(values)} |")


def diffusion_of_oxygen(numbers: dict) -> str:
    """With its error, 10⁻⁹ m²/s; nothing where the fit begins within the cage, or the MSD is no line there."""
    found = numbers["msd"]["diffusion"]
    if "O" not in found or found["fit (ps)"][0] < CAGE or not 0.8 < found["O"]["power of t"] < 1.2:
        return ""
    value, error = (1e9 * found["O"][name] for name in ("D (m²/s)", "error (m²/s)"))
    return f"{value:.2f} ± {error:.2f}"


def second_half(values: np.ndarray) -> float:
    """Mean of the second half."""
    return float(values[len(values) // 2 :].mean())


def peak(table: dict[str, np.ndarray], column: str, low: float, high: float) -> str:
    """Height of the highest point between two distances, with its error, and where it is."""
    inside = np.flatnonzero((table["r (Å)"] > low) & (table["r (Å)"] < high))
    highest = inside[table[column][inside].argmax()]
    return f"{with_error(table, column, highest)} at {table['r (Å)'][highest]:.2f} Å"


def least(table: dict[str, np.ndarray], column: str, low: float, high: float) -> str:
    """Lowest value between two distances, with its error."""
    inside = np.flatnonzero((table["r (Å)"] > low) & (table["r (Å)"] < high))
    return with_error(table, column, inside[table[column][inside].argmin()])


def with_error(table: dict[str, np.ndarray], column: str, row: int) -> str:
    """A value with its standard error."""
    return f"{table[column][row]:.2f} ± {table[f'error of {column}'][row]:.2f}"


def factor(table: dict[str, np.ndarray], row: int) -> str:
    """Charge structure factor with its error, 10⁻³ e²."""
    value, error = (1000 * table[name][row] for name in ("S (e²)", "error of S (e²)"))
    return f"{value:.2f} ± {error:.2f}"


def draw(found: dict[str, Path], large: dict[str, Path], path: Path) -> None:
    """Radial distribution functions of 192 atoms, and charge structure factors of both sizes."""
    figure = Figure(figsize=(12, 3.2), layout="constrained")
    *of_pairs, of_charge = figure.subplots(1, 4)
    for axes, pair in zip(of_pairs, PEAKS, strict=True):
        for name, folder in found.items():
            table = read_table(folder / "rdf.csv")
            plot(axes, table["r (Å)"], table, f"g {pair}", name)
        axes.set(xlabel="r / Å", ylabel=f"g of {pair.replace('-', '–')}", xlim=(1.2, 6.2), ylim=(0, 3.5))
    for folders, style in ((found, {}), (large, {"marker": "o", "ms": 3, "ls": "none"})):
        for name, folder in folders.items():
            table = read_table(folder / "charge_structure.csv")
            plot(of_charge, table["k (1/Å)"], table, "screening", name, **style)
    of_charge.set(xlabel="k / 1/Å", ylabel="S(k) / k², in units of a conductor's", xlim=(0, 1.5), ylim=(0, 5))
    of_pairs[0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=150)


def draw_slab(profiles: dict[str, Path], path: Path) -> None:
    """Density of oxygen and orientation across a slab."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    panels = (
        ("profiles.csv", "density O (mol/L)", "oxygen / mol/L"),
        ("orientation.csv", "⟨cos θ⟩", "⟨cos θ⟩ of the dipoles"),
    )
    for axes, (file, column, label) in zip(figure.subplots(1, 2), panels, strict=True):
        for name, folder in profiles.items():
            table = read_table(folder / file)
            plot(axes, table["z (Å)"], table, column, name)
        axes.set(xlabel="z / Å", ylabel=label)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=150)


def plot(axes: Axes, x: np.ndarray, table: dict[str, np.ndarray], column: str, name: str, **style: object) -> None:
    """A curve with its error as a band."""
    error = table[f"error of {column}"]
    style = {"ls": "--" if name == DATA else "-"} | style
    axes.plot(x, table[column], color=COLOURS[name], label=NAMES[name], **style)
    axes.fill_between(x, table[column] - error, table[column] + error, color=COLOURS[name], alpha=0.2, lw=0)


if __name__ == "__main__":
    main()
