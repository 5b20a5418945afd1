"""The same 64 ions in every engine: temperature at constant volume, density at constant pressure, and seconds.

Molten NaCl of rigid ions (F. G. Fumi and M. P. Tosi, J. Phys. Chem. Solids 25, 31 (1964)): the pair terms are a
short-range model, the Coulomb interaction beyond the cutoff is the long-range layer's, and nothing is trained.

python experiments/engines/engines.py
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from ase import Atoms, units
from ase.build import bulk
from torch import nn
from torch_geometric.data import Data

from sognet import SOGNet, SOGNetCalculator
from sognet.interfaces import ShortRangeOutput
from sognet.long_range import COULOMB_CONSTANT, FourierConvolution, SumOfGaussians
from sognet.short_range.edges import edge_vectors
from sognet.simulation.engines import ENGINES, find_engine
from sognet.simulation.files import columns_of
from sognet.simulation.run import Simulation
from sognet.simulation.settings import SimulationSettings

CUTOFF = 6.0
CHARGES = {"Na": 1.0, "Cl": -1.0}
STRENGTH, RANGE = 0.2110, 0.317  # eV, Å
RADII = {"Na": 1.170, "Cl": 1.585}  # Å
PAULING = {"NaNa": 1.25, "NaCl": 1.0, "ClCl": 0.75}
DISPERSION = {"NaNa": 1.05, "NaCl": 6.99, "ClCl": 72.4}  # eV Å⁶
NUMBERS = {11: "Na", 17: "Cl"}
KELVIN = 1500.0


class RigidIons(nn.Module):
    """Energies of atoms: half of the pair terms, and what the layer's Gaussians leave of Coulomb's law."""

    def __init__(self, kernel: SumOfGaussians) -> None:
        super().__init__()
        self.species, self.cutoff, self.n_features, self.kernel = list(CHARGES), CUTOFF, 1, kernel
        rows, columns = torch.meshgrid(torch.arange(2), torch.arange(2), indexing="ij")
        names = ["NaNa", "NaCl", "ClCl"]
        repulsion, dispersion, products = [], [], []
        for k in (rows + columns).ravel().tolist():
            a, b = names[k][:2], names[k][2:]
            repulsion.append(PAULING[names[k]] * STRENGTH * np.exp((RADII[a] + RADII[b]) / RANGE))
            dispersion.append(DISPERSION[names[k]])
            products.append(CHARGES[a] * CHARGES[b])
        self.register_buffer("pairs", torch.tensor([repulsion, dispersion, products], dtype=torch.float64))

    def forward(self, graph: Data) -> ShortRangeOutput:
        """No features, and energies (N,) in eV."""
        neighbour, centre = graph.edge_index
        r = edge_vectors(graph).square().sum(1).sqrt()
        kinds = (graph.z == 17).long()
        repulsion, dispersion, products = self.pairs[:, 2 * kinds[centre] + kinds[neighbour]].to(r)
        coulomb = products * (COULOMB_CONSTANT / r - self.kernel(r)[0])
        shape = 0.5 * (torch.cos(torch.pi * r / CUTOFF) + 1)
        pairs = coulomb * shape + (repulsion * torch.exp(-r / RANGE) - dispersion / r**6) * shape
        energy = r.new_zeros(len(graph.z)).index_add(0, centre, 0.5 * pairs)
        return ShortRangeOutput(r.new_zeros(len(graph.z), 1), energy)


def calculator() -> SOGNetCalculator:
    """Of the ions."""
    kernel = SumOfGaussians.power_law(1.0, CUTOFF, n_gaussians=6)
    layer = FourierConvolution(kernel, tolerance=1e-5, remove_self_interaction=True)
    model = SOGNet(RigidIons(kernel), layer, charges=CHARGES)
    return SOGNetCalculator(model, dtype=torch.float64)


def start() -> Atoms:
    """64 ions near their density in the melt."""
    atoms = bulk("NaCl", "rocksalt", a=6.3, cubic=True).repeat(2)
    atoms.rattle(0.1, seed=1)
    return atoms


def simulated(
    engine: str, ensemble: str, steps: int, atoms: Atoms, seed: int = 1
) -> tuple[dict[str, list[float]], Atoms, float]:
    """Columns of thermo.csv, the last structure and seconds for a step."""
    thermostat = "nose_hoover" if ensemble == "npt" else "langevin"
    settings = SimulationSettings(
        ensemble=ensemble, steps=steps, timestep=2.0, every=10, restart_every=10**9, temperature=KELVIN,
        thermostat=thermostat, thermostat_time=100.0, barostat_time=250.0, pressure=0.5, seed=seed,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        simulation = Simulation(atoms.copy(), calculator(), settings, Path(folder), find_engine(engine))
        simulation.begin()
        began = time.perf_counter()
        simulation.run()
        seconds = (time.perf_counter() - began) / steps
        return columns_of(Path(folder) / "thermo.csv"), simulation.atoms, seconds


def mean_and_error(values: np.ndarray, n_blocks: int = 5) -> tuple[float, float]:
    """Mean, and its error by blocks, of what follows the first quarter."""
    kept = np.asarray(values)[len(values) // 4 :]
    means = [block.mean() for block in np.array_split(kept, n_blocks)]
    return float(kept.mean()), float(np.std(means, ddof=1) / n_blocks**0.5)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engines", nargs="+", default=list(ENGINES))
    parser.add_argument("--steps", type=int, default=3000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    _, melt, _ = simulated("ase", "nvt", options.steps // 2, start())
    melt = Atoms(melt.numbers, melt.positions, cell=melt.cell, pbc=True)
    print("| engine | NVT: K | NPT: K | NPT: GPa | NPT: g/cm³ | NVT: ms/step |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |", flush=True)
    grams = melt.get_masses().sum() * units._amu * 1e3 * 1e24
    for engine in options.engines:
        at_volume, _, seconds = simulated(engine, "nvt", options.steps, melt)
        at_pressure, _, _ = simulated(engine, "npt", 2 * options.steps, melt)
        columns = [
            mean_and_error(at_volume["temperature (K)"]),
            mean_and_error(at_pressure["temperature (K)"]),
            mean_and_error(at_pressure["pressure (GPa)"]),
            mean_and_error(grams / np.array(at_pressure["volume (Å³)"])),
        ]
        digits = (0, 0, 2, 3)
        cells = [f"{mean:.{d}f} ± {error:.{d}f}" for (mean, error), d in zip(columns, digits, strict=True)]
        print(f"| {engine} | {' | '.join(cells)} | {1000 * seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
