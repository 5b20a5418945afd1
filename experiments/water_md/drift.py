"""Is the energy conserved, and the momentum? NVE of water by a trained model."""

from pathlib import Path

import numpy as np
from ase import units
from ase.io import read
from ase.md.verlet import VelocityVerlet
from runs import simulate

from sognet import SOGNetCalculator, load_model
from sognet.trajectories.tables import read_table

TIMESTEP = 0.5  # fs
METHODS = ("separable", "nufft", "direct", "mesh")
MOMENTUM_STEPS = 500
CONSERVED = "conserved energy (eV)"


def print_drift(model: Path, start: Path, folder: Path, picoseconds: float) -> None:
    """Drift of the energy in double and in single precision, and the momentum by each way to sum."""
    words = [f"checkpoint={model}", f"structure={start}", "simulation.every=20", "simulation.restart_every=2000"]
    warm = simulate(folder / "equilibration", 2.0, TIMESTEP, "simulation=nvt", *words)
    first = warm / "final.extxyz"
    words[1] = f"structure={first}"
    print("| precision | ps | drift, eV/atom/ps | energy spread, eV/atom | temperature, K |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for precision in ("float64", "float32"):
        run = folder / precision
        simulate(run, picoseconds, TIMESTEP, "simulation=nve", f"dtype={precision}", *words)
        table = read_table(run / "thermo.csv")
        n_atoms = len(read(first))
        slope, error = drift(table["time (ps)"], table[CONSERVED] / n_atoms)
        spread = table[CONSERVED].std() / n_atoms
        kelvin = table["temperature (K)"].mean()
        length = table["time (ps)"][-1]
        print(f"| {precision} | {length:g} | {slope:.1e} ± {error:.0e} | {spread:.1e} | {kelvin:.0f} |", flush=True)
    print("\n| structure factor | largest sum of forces, eV/Å | momentum after 250 fs, of the thermal one of an atom |")
    print("| --- | ---: | ---: |")
    for method in METHODS:
        force, momentum = momentum_of(model, first, method)
        print(f"| {method} | {force:.1e} | {momentum:.1e} |", flush=True)


def drift(times: np.ndarray, energies: np.ndarray, n_blocks: int = 20) -> tuple[float, float]:
    """Slope of a line through the means of blocks, and its standard error from how these scatter about it."""
    t, e = (np.array([block.mean() for block in np.array_split(values, n_blocks)]) for values in (times, energies))
    (slope, _), covariance = np.polyfit(t, e - e[0], 1, cov=True)
    return float(slope), float(covariance[0, 0] ** 0.5)


def momentum_of(model: Path, start: Path, method: str) -> tuple[float, float]:
    """Largest sum of the forces in steps of NVE in double precision, and the momentum that is there in the end."""
    loaded = load_model(model, dtype="float64")
    loaded.long_range.method = method
    atoms = read(start)
    atoms.calc = SOGNetCalculator(loaded)
    atoms.set_momenta(atoms.get_momenta() - atoms.get_momenta().sum(0) / len(atoms))
    thermal = np.sqrt(3 * atoms.get_masses().mean() * units.kB * atoms.get_temperature())
    sums: list[float] = []
    dynamics = VelocityVerlet(atoms, TIMESTEP * units.fs)
    dynamics.attach(lambda: sums.append(float(np.abs(atoms.get_forces().sum(0)).max())))
    dynamics.run(MOMENTUM_STEPS)
    return max(sums), float(np.linalg.norm(atoms.get_momenta().sum(0)) / thermal)
