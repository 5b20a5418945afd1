"""Data sets made here: metal slabs, alloys, clusters of ions, organic molecules; one extended XYZ each.

python experiments/own_data/sets.py [--folder outputs/own_data/sets]
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import bulk, fcc111, molecule
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from ase.io import write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta

MOLECULES = ["CH3CH2OH", "CH3COOH", "CH3CONH2", "C6H6", "CH3NO2", "C5H5N", "HCOOCH3", "CH3CHO", "H2CCHCN", "CH3SH"]


def slab(rng: np.random.Generator) -> list[Atoms]:
    """240 slabs of 28 atoms, copper with up to five atoms of gold and silver, forces of EMT: no charges."""
    frames = []
    for _ in range(240):
        atoms = fcc111("Cu", (2, 2, 7), vacuum=6.0)
        atoms.pbc = True
        places = rng.choice(len(atoms), rng.integers(6), replace=False)
        atoms.symbols[places] = rng.choice(["Au", "Ag"], len(places))
        atoms.set_cell(atoms.cell * (1 + 0.02 * rng.normal()), scale_atoms=True)
        atoms.rattle(0.05, rng=rng)
        frames.append(labelled(atoms, EMT()))
    return frames


def alloy(rng: np.random.Generator) -> list[Atoms]:
    """300 cells of 32 atoms of copper, gold and palladium in any ratio, forces of EMT: no charges."""
    frames = []
    for _ in range(300):
        atoms = bulk("Cu", cubic=True).repeat(2)
        shares = rng.dirichlet([1, 1, 1])
        atoms.symbols[:] = rng.choice(["Cu", "Au", "Pd"], len(atoms), p=shares)
        edge = 7.23 * (1 + 0.12 * (1 - shares[0])) * (1 + 0.02 * rng.normal())
        atoms.set_cell([edge] * 3, scale_atoms=True)
        atoms.rattle(rng.uniform(0.02, 0.15), rng=rng)
        frames.append(labelled(atoms, EMT()))
    return frames


def clusters(rng: np.random.Generator) -> list[Atoms]:
    """300 clusters of 6 to 12 ions of ±1 e with net charges −1, 0 and 1: Coulomb's law and a short repulsion."""
    frames: list[Atoms] = []
    while len(frames) < 300:
        charges = rng.choice([1, -1], rng.integers(6, 13))
        if abs(charges.sum()) > 1:
            continue
        positions: list[np.ndarray] = []
        while len(positions) < len(charges):
            place = rng.uniform(0, 7.5, 3)
            if all(np.linalg.norm(place - other) > 2.3 for other in positions):
                positions.append(place)
        atoms = Atoms(["Na" if q > 0 else "Cl" for q in charges], positions)
        frames.append(labelled(atoms, Ions(), charge=int(charges.sum())))
    return frames


def molecules(rng: np.random.Generator) -> list[Atoms]:
    """30 geometries each of ten organic molecules at 600 K, GFN2-xTB (pip install tblite)."""
    from tblite.ase import TBLite

    frames = []
    for name in MOLECULES:
        atoms = molecule(name)
        atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
        thermalize_momenta(atoms, temperature_K=800, rng=rng)
        dynamics = Langevin(atoms, 0.5 * units.fs, temperature_K=600, friction=0.02 / units.fs, fixcm=False, rng=rng)
        dynamics.run(100)
        for _ in range(30):
            dynamics.run(40)
            frames.append(labelled(atoms, atoms.calc))
    return [frames[i] for i in rng.permutation(len(frames))]


SETS: dict[str, Callable[[np.random.Generator], list[Atoms]]] = {
    made.__name__: made for made in (slab, alloy, clusters, molecules)
}


class Ions(Calculator):
    """Sodium of +1 and chlorine of −1 e: Σ 14.3996 q_i q_j / r + 800 eV exp(−r / 0.32 Å)."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms: Atoms | None = None, properties: object = None, system_changes: object = None) -> None:
        """Energies and forces of all pairs."""
        super().calculate(atoms, properties, system_changes)
        charges = np.where(atoms.numbers == 11, 1.0, -1.0)
        vectors = atoms.positions[:, None] - atoms.positions[None]
        distances = np.linalg.norm(vectors, axis=2) + np.diag(np.full(len(atoms), np.inf))
        coulomb = units.Hartree * units.Bohr * charges[:, None] * charges / distances
        repulsion = 800.0 * np.exp(-distances / 0.32)
        slopes = (coulomb / distances + repulsion / 0.32) / distances
        self.results = {"energy": (coulomb + repulsion).sum() / 2, "forces": np.nansum(slopes[..., None] * vectors, 1)}


def labelled(atoms: Atoms, calculator: Calculator, **info: float) -> Atoms:
    """A copy with energy and forces as files hold them."""
    frame = Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    frame.calc = calculator
    energy, forces = frame.get_potential_energy(), frame.get_forces()
    frame.calc = None
    frame.info = {"energy": float(energy), **info}
    frame.arrays["forces"] = forces
    return frame


def make(folder: Path) -> None:
    """Write what is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, made in SETS.items():
        file = folder / f"{name}.xyz"
        if not file.exists():
            try:
                frames = made(np.random.default_rng(0))
            except ModuleNotFoundError as error:
                print(f"{file} is left out: {error}; pip install {error.name.partition('.')[0]}")
                continue
            write(file, frames, format="extxyz")
            forces = np.concatenate([f.arrays["forces"] for f in frames])
            print(f"{file}: {len(frames)} structures, forces {1000 * np.sqrt(np.square(forces).mean()):.0f} meV/Å")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("outputs/own_data/sets"))
    make(parser.parse_args().folder)
