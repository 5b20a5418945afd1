"""Is the energy conserved, and the momentum? NVE of water by a trained model."""

from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.io import read
from ase.md.verlet import VelocityVerlet
from runs import simulate

from sognet import SOGNetCalculator, load_model
from sognet.trajectories.tables import read_table

TIMESTEP = 0.5  # fs
EVERY = 20  # steps between two frames
METHODS = ("separable", "nufft", "direct", "mesh")
MOMENTUM_STEPS = 500
MOVED = 1e-3  # Å, root mean square of the displacements of finite differences
CONSERVED = "conserved energy (eV)"


def print_drift(model: Path, start: Path, folder: Path, picoseconds: float) -> None:
    """Drift of the energy in double and in single precision, and the momentum by each way to sum."""
    words = [f"checkpoint={model}", f"structure={start}", f"simulation.every={EVERY}", "simulation.restart_every=2000"]
    first = simulate(folder / "equilibration", 1.0, 2 * TIMESTEP, "simulation=nvt", *words) / "final.extxyz"
    words[1] = f"structure={first}"
    print("| precision | step, fs | ps | drift, eV/atom/ps | spread | drift of H̃ | spread of H̃, eV/atom | K |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for precision, timestep, share in (("float64", TIMESTEP, 1.0), ("float32", TIMESTEP, 0.25)):
        run = simulate(
            folder / precision, share * picoseconds, timestep, "simulation=nve", f"dtype={precision}", *words
        )
        print(line_of(model, run, precision, timestep), flush=True)
    print("\n| structure factor | largest sum of forces, eV/Å | momentum after 250 fs, of the thermal one of an atom |")
    print("| --- | ---: | ---: |")
    for method in METHODS:
        force, momentum = momentum_of(model, first, method)
        print(f"| {method} | {force:.1e} | {momentum:.1e} |", flush=True)


def line_of(model: Path, run: Path, precision: str, timestep: float) -> str:
    """Drift and spread of the energy, and of the energy that velocity Verlet conserves, of a run so far."""
    frames = read(run / "trajectory.extxyz", ":")
    table = read_table(run / "thermo.csv")
    times, n_atoms = table["time (ps)"][: len(frames)], len(frames[0])
    energies = table[CONSERVED][: len(frames)] / n_atoms
    cells = [precision, f"{timestep:g}", f"{times[-1]:g}"]
    for values in (energies, energies + timestep_terms(model, frames, timestep) / n_atoms):
        slope, error = drift(times, values)
        cells += [f"({1e6 * slope:.2f} ± {1e6 * error:.2f}) × 10⁻⁶", f"{values.std():.1e}"]
    return f"| {' | '.join([*cells, format(table['temperature (K)'].mean(), '.0f')])} |"


def timestep_terms(model: Path, frames: list[Atoms], timestep: float) -> np.ndarray:
    """What velocity Verlet conserves beyond the energy, to the second order in the step h; eV for each frame.

    It is H̃ − H = h² (vᵀ U″ v / 12 − Fᵀ M⁻¹ F / 24), with the second derivatives U″ by differences of forces F.
    """
    calculator, found = SOGNetCalculator(model, dtype="float64"), []
    for frame in frames:
        velocities, forces = frame.get_velocities(), frame.get_forces(apply_constraint=False)
        change = MOVED / np.sqrt((velocities**2).mean())
        moved = frame.copy()
        ends = []
        for sign in (1, -1):
            moved.positions = frame.positions + sign * change * velocities
            ends.append(calculator.get_property("forces", moved))
        curvature = -(velocities * (ends[0] - ends[1])).sum() / (2 * change)
        pull = (forces**2 / frame.get_masses()[:, None]).sum()
        found.append((timestep * units.fs) ** 2 * (curvature / 12 - pull / 24))
    return np.array(found)


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
