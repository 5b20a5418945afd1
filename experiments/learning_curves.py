"""Validation errors of runs against time, and what they extrapolate to.

python experiments/learning_curves.py LABEL=outputs/<experiment>/<run> ... --figure learning.png [--bar 49.5]
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

FITTED_FROM = 0.3
"""Share of the time after which a power of time is fitted: before, the curve is still steep."""


def main() -> None:
    """Print a row for each run and draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="LABEL=FOLDER")
    parser.add_argument("--figure", type=Path, default=Path("learning.png"))
    parser.add_argument("--bar", type=float, help="published force RMSE, meV/Å")
    options = parser.parse_args()
    figure = Figure(figsize=(7.5, 4), layout="constrained")
    axes = figure.subplots()
    print("| model | minutes | val F, meV/Å | val E, meV/atom | F falls as | F after ten times as long |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for number, (label, _, folder) in enumerate(run.partition("=") for run in options.runs):
        minutes, forces, energies = validation(Path(folder) / "metrics.csv")
        power, later = extrapolation(minutes, forces)
        print(f"| {label} | {minutes[-1]:.0f} | {forces[-1]:.1f} | {energies[-1]:.2f} | t^{power:.2f} | {later:.0f} |")
        axes.loglog(minutes, forces, f"C{number}-", label=label)
        axes.loglog([minutes[-1], 10 * minutes[-1]], [forces[-1], later], f"C{number}:", lw=1)
    if options.bar:
        axes.axhline(options.bar, color="k", lw=0.8, ls="--", label="published")
    axes.set(xlabel="minutes", ylabel="force RMSE, validation / meV Å$^{-1}$")
    figure.legend(loc="outside right upper", frameon=False)
    figure.savefig(options.figure, dpi=150)
    print(f"\ndotted: continued as a power of time. {options.figure}")


def validation(file: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Minutes of training, force RMSE (meV/Å) and energy RMSE (meV/atom) at the end of each epoch."""
    with file.open() as opened:
        rows = list(csv.DictReader(opened))
    seconds = {row["epoch"]: float(row["seconds"]) for row in rows if row.get("seconds")}
    found = [
        (seconds[row["epoch"]] / 60, float(row["val/force_rmse"]), float(row["val/energy_rmse"]))
        for row in rows
        if row.get("val/force_rmse") and row["epoch"] in seconds
    ]
    minutes, forces, energies = np.array(found).T
    return minutes, forces, energies


def extrapolation(minutes: np.ndarray, forces: np.ndarray) -> tuple[float, float]:
    """Power of time that the later part of a curve follows, and the error after ten times as long."""
    late = minutes > FITTED_FROM * minutes[-1]
    power = float(np.polyfit(np.log(minutes[late]), np.log(forces[late]), 1)[0])
    return power, float(forces[-1] * 10**power)


if __name__ == "__main__":
    main()
