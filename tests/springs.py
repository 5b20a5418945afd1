"""A crystal of springs, whose dynamics cost nothing: an independent calculator for tests of integrators."""

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes


def spring_crystal(side: int = 3, spacing: float = 3.0) -> Atoms:
    """Argon on a cubic lattice, each atom bound to the 26 around it."""
    sites = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3)
    atoms = Atoms(f"Ar{len(sites)}", positions=spacing * sites, cell=[side * spacing] * 3, pbc=True)
    atoms.calc = Springs(sites, side, spacing)
    return atoms


class Springs(Calculator):
    """½ k Σ (|r| − r0)² of the bonds, with r0 their lengths in the crystal."""

    implemented_properties = ("energy", "free_energy", "forces", "stress")

    def __init__(self, sites: np.ndarray, side: int, spacing: float, stiffness: float = 0.5) -> None:
        super().__init__()
        half = [(a, b, c) for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1) if (a, b, c) > (0, 0, 0)]
        bonds = [(i, site + step, np.linalg.norm(step)) for i, site in enumerate(sites) for step in half]
        ends = np.array([b[1] for b in bonds])
        self.first = np.array([b[0] for b in bonds])
        self.second = (ends % side) @ [side * side, side, 1]
        self.shift = ends // side
        self.length = spacing * np.array([b[2] for b in bonds])
        self.stiffness = stiffness

    def check_state(self, atoms, tol=1e-15):
        """As ASE's, at a tenth of its time."""
        names = ("positions", "cell")
        return [n for n in names if self.atoms is None or not np.array_equal(getattr(self.atoms, n), getattr(atoms, n))]

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        x, cell = self.atoms.positions, self.atoms.cell.array
        vectors = x[self.second] + self.shift @ cell - x[self.first]
        r = np.sqrt((vectors**2).sum(1))
        pull = (self.stiffness * (r - self.length) / r)[:, None] * vectors
        forces = np.zeros_like(x)
        np.add.at(forces, self.first, pull)
        np.add.at(forces, self.second, -pull)
        stress = np.einsum("ei,ej->ij", pull, vectors) / self.atoms.get_volume()
        energy = 0.5 * self.stiffness * ((r - self.length) ** 2).sum()
        voigt = stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        self.results = {"energy": energy, "free_energy": energy, "forces": forces, "stress": voigt}
