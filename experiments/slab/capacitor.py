"""Ions between two charged walls, periodic in the plane alone: the reference, and structures labelled by it.

Na and Cl of ±1 e and two sheets of 25 atoms, Al and Au, of ±2 e in all, with Lennard-Jones forces and Coulomb's law in
a dielectric; slab sums by torch-pme, in a cell with vacuum and with the correction for two periodic directions.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torchpme
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.constraints import FixAtoms
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from vesin import NeighborList

CHARGES = {"Na": 1.0, "Cl": -1.0, "Al": 0.08, "Au": -0.08}  # e
PERMITTIVITY = 37.5
STRENGTH = units.Hartree * units.Bohr / PERMITTIVITY  # eV·Å, of two charges e
SIDE, PER_SIDE = 15.0, 5  # Å of the square cell, wall atoms along it
DIAMETER, WELL_DEPTH = 3.0, 0.01  # Lennard-Jones, Å and eV
LENNARD_JONES_CUTOFF, EWALD_CUTOFF = 7.5, 12.0  # Å
VACUUM = 35.0  # Å
TEMPERATURE, TIMESTEP, FRICTION = 300.0, 10.0, 0.003  # K, fs, 1/fs


class SlabCalculator(Calculator):
    """Energy and forces of charges and Lennard-Jones forces, periodic along the first two lattice vectors."""

    implemented_properties = ("energy", "forces")

    def __init__(self) -> None:
        super().__init__()
        smearing = EWALD_CUTOFF / 5.5
        potential = torchpme.CoulombPotential(smearing=smearing, prefactor=STRENGTH)
        self.ewald = torchpme.EwaldCalculator(potential, lr_wavelength=smearing).double()

    def calculate(self, atoms: Atoms | None = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        """Energy in eV, forces in eV/Å."""
        super().calculate(atoms, properties, system_changes)
        cell = np.diag([SIDE, SIDE, np.ptp(atoms.positions[:, 2]) + VACUUM])
        i, j, shift = NeighborList(cutoff=EWALD_CUTOFF, full_list=False).compute(atoms.positions, cell, True, "ijS")
        pairs = torch.from_numpy(np.stack([i, j], 1).astype(np.int64))
        charges = torch.tensor([CHARGES[s] for s in atoms.symbols], dtype=torch.float64)[:, None]
        positions = torch.tensor(atoms.positions, requires_grad=True)
        box = torch.from_numpy(cell)
        vectors = positions[pairs[:, 1]] - positions[pairs[:, 0]] + torch.from_numpy(shift.astype(float)) @ box
        distances = vectors.norm(dim=1)
        periodic = torch.tensor([True, True, False])
        potential = self.ewald(charges, box, positions, pairs, distances, periodic=periodic)
        energy = (charges * potential).sum() + lennard_jones(distances).sum()
        (gradient,) = torch.autograd.grad(energy, positions)
        self.results = {"energy": energy.item(), "forces": -gradient.numpy()}


def lennard_jones(distances: torch.Tensor) -> torch.Tensor:
    """4ε[(σ/r)¹² − (σ/r)⁶], shifted in energy and force to end at the cutoff; beyond it zero."""
    edge = (DIAMETER / LENNARD_JONES_CUTOFF) ** 6
    slope = WELL_DEPTH * (24 * edge - 48 * edge**2) / LENNARD_JONES_CUTOFF
    power = (DIAMETER / distances) ** 6
    energy = 4 * WELL_DEPTH * (power**2 - power - edge**2 + edge) - slope * (distances - LENNARD_JONES_CUTOFF)
    return torch.where(distances < LENNARD_JONES_CUTOFF, energy, 0.0)


def walls(distance: float) -> Atoms:
    """Two sheets of charge at z = 0 and at a distance in Å; they do not move."""
    grid = np.arange(PER_SIDE) * SIDE / PER_SIDE
    sheet = np.stack(np.meshgrid(grid, grid, [0.0]), -1).reshape(-1, 3)
    positions = np.concatenate([sheet, sheet + np.array([0, 0, distance])])
    symbols = ["Al"] * len(sheet) + ["Au"] * len(sheet)
    cell = [[SIDE, 0, 0], [0, SIDE, 0], [0, 0, 0]]
    atoms = Atoms(symbols, positions, cell=cell, pbc=[True, True, False])
    atoms.set_constraint(FixAtoms(range(len(atoms))))
    return atoms


def filled(distance: float, n_pairs: int, rng: np.random.Generator) -> Atoms:
    """Walls and as many ions of both kinds between them, on sites of a lattice drawn at random."""
    atoms = walls(distance)
    levels = np.linspace(3.0, distance - 3.0, int((distance - 6.0) / 3.4) + 1)
    plane = (np.arange(4) + 0.5) * SIDE / 4
    sites = rng.permutation(np.stack(np.meshgrid(plane, plane, levels), -1).reshape(-1, 3))[: 2 * n_pairs]
    return atoms + Atoms(["Na"] * n_pairs + ["Cl"] * n_pairs, sites)


def dynamics(atoms: Atoms, rng: np.random.Generator) -> Langevin:
    """Langevin dynamics of the ions by the reference; the walls stay."""
    atoms.calc = SlabCalculator()
    MaxwellBoltzmannDistribution(atoms, temperature_K=TEMPERATURE, rng=rng)
    friction = FRICTION / units.fs
    return Langevin(atoms, TIMESTEP * units.fs, temperature_K=TEMPERATURE, friction=friction, fixcm=False, rng=rng)


def frames(n_trajectories: int, rng: np.random.Generator) -> Iterator[Atoms]:
    """Ten labelled structures of each of some trajectories, of 10 to 24 Å and none to ten pairs of ions."""
    for _ in range(n_trajectories):
        distance = rng.uniform(10.0, 24.0)
        atoms = filled(distance, int(rng.integers(min(11, int(distance) - 7))), rng)
        moved = dynamics(atoms, rng)
        moved.run(300)
        for _ in range(10):
            moved.run(40)
            yield labelled(atoms, rng)


def labelled(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    """A copy with displaced walls, and energy and forces as files hold them."""
    frame = Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    is_wall = np.isin(frame.symbols, ["Al", "Au"])
    frame.positions[is_wall] += 0.05 * rng.normal(size=(is_wall.sum(), 3))
    frame.calc = SlabCalculator()
    energy, forces = frame.get_potential_energy(), frame.get_forces()
    frame.calc = None
    frame.info["energy"], frame.arrays["forces"] = energy, forces
    return frame
