"""Molten NaCl: sampled with a classical potential, labelled with stress by tight binding.

The potential is that of M. P. Tosi and F. G. Fumi, J. Phys. Chem. Solids 25, 45 (1964), for rigid ions,

    U(r) = q_i q_j / r + A_ij exp((σ_ij − r)/ρ) − C_ij/r⁶ − D_ij/r⁸.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torchpme
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.md.langevin import Langevin

from sognet.data.datasets.generators.ion_box import COULOMB_CONSTANT, IonBox, one_thread
from sognet.data.datasets.generators.labelled_cache import labelled_set
from sognet.data.splits import Splits, split_off
from sognet.errors import InputError
from sognet.progress import tracked

STEEPNESS = 0.317  # ρ, Å
REPULSION = (0.2637, 0.2110, 0.1582)  # A of Na-Na, Na-Cl and Cl-Cl, eV
DIAMETERS = (2.340, 2.755, 3.170)  # σ, Å
DISPERSION_6 = (1.0486, 6.9906, 72.4022)  # C, eV Å⁶
DISPERSION_8 = (0.4993, 8.6758, 145.4285)  # D, eV Å⁸
DENSITY = 1.5  # g/cm³, at about 1130 K
TIME_STEP = 3.0  # fs
FRICTION = 0.01  # 1/fs
MELTING = 2500.0  # K, during the first half of the steps before the first frame
STEPS_BEFORE_FIRST_FRAME = 1500
STEPS_BETWEEN_FRAMES = 50


class TosiFumi(Calculator):
    """Rigid Na⁺ and Cl⁻ in a cubic box.

    Parameters
    ----------
    box_length : Å; half of it is the cutoff in real space.
    """

    implemented_properties = ("energy", "forces")

    def __init__(self, box_length: float) -> None:
        super().__init__()
        self.cutoff = box_length / 2
        smearing = self.cutoff / 5.0
        self.ewald = torchpme.EwaldCalculator(torchpme.CoulombPotential(smearing), lr_wavelength=smearing).double()

    def calculate(self, atoms: Atoms | None = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        """Energy (eV) and forces (eV/Å)."""
        super().calculate(atoms, properties, system_changes)
        box = IonBox(atoms, self.cutoff)
        chlorine = torch.from_numpy((atoms.symbols == "Cl").astype(int))
        charges = (1.0 - 2.0 * chlorine)[:, None].double()
        electrostatic = box.ewald_energy(self.ewald, charges)
        contact = contact_energy(box.distance, chlorine[box.pairs].sum(1)).sum()
        self.results = box.results(COULOMB_CONSTANT * electrostatic + contact)


def contact_energy(distance: torch.Tensor, kind: torch.Tensor) -> torch.Tensor:
    """Repulsion and dispersion (n,) in eV of pairs at a distance (n,) in Å; kind (n,) is the number of Cl in a pair."""
    values = (REPULSION, DIAMETERS, DISPERSION_6, DISPERSION_8)
    repulsion, diameter, dispersion_6, dispersion_8 = (torch.tensor(v, dtype=distance.dtype)[kind] for v in values)
    inverse_square = distance**-2
    attraction = dispersion_6 * inverse_square**3 + dispersion_8 * inverse_square**4
    return repulsion * torch.exp((diameter - distance) / STEEPNESS) - attraction


def molten_salt(
    n_cells: int = 2,
    n_frames: int = 100,
    temperature: float = 1200.0,
    strain: float = 0.02,
    method: str = "GFN1-xTB",
    workers: int | None = None,
    val_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
    val_seed: int | None = None,
    root: str | None = None,
) -> Splits:
    """Molten NaCl in a periodic box, with stress; made once, then read from the cache.

    Parameters
    ----------
    n_cells : cubic cells of 8 ions along each side at the start.
    n_frames : structures.
    temperature : K, of the sampling.
    strain : all lengths of a structure are scaled at random by up to 1 ± strain before it is labelled.
    method : GFN1-xTB or GFN2-xTB.
    workers : processes; null: one for each core.
    val_fraction, test_fraction : of the structures, drawn at random.
    seed : of the dynamics, the scaling and the split.
    val_seed : of another draw of the validation structures, with the same test structures.
    root : folder of the cache; by default the user's cache.

    Raises
    ------
    InputError : tblite is not installed, or a setting is unknown or out of range.
    """
    if n_cells < 2 or n_frames < 1 or not 0 <= strain <= 0.1 or not 1000 <= temperature <= 3000:
        raise InputError(
            "need n_cells of at least 2, n_frames of at least 1, a strain of 0 to 0.1 and a temperature of 1000 to "
            f"3000 K, got {n_cells}, {n_frames}, {strain} and {temperature}"
        )
    settings = {"n_cells": n_cells, "n_frames": n_frames, "temperature": temperature, "strain": strain, "seed": seed}
    potential = [STEEPNESS, REPULSION, DIAMETERS, DISPERSION_6, DISPERSION_8, DENSITY, MELTING]
    dynamics = [TIME_STEP, FRICTION, STEPS_BEFORE_FIRST_FRAME, STEPS_BETWEEN_FRAMES]

    def sampled() -> list[Atoms]:
        with one_thread():
            return list(sample(n_cells, n_frames, temperature, strain, seed))

    everything = settings | {"potential": potential, "dynamics": dynamics}
    structures = labelled_set("molten_salt", "nacl", sampled, everything, method, workers, root)
    return Splits("molten_salt", *split_off(structures, val_fraction, test_fraction, seed, val_seed))


def sample(n_cells: int, n_frames: int, temperature: float, strain: float, seed: int) -> Iterator[Atoms]:
    """Structures of a Langevin trajectory, scaled at random."""
    rng = np.random.default_rng(seed)
    atoms = crystal(n_cells)
    atoms.calc = TosiFumi(atoms.cell.lengths()[0])
    settings = {"friction": FRICTION / units.fs, "rng": rng, "fixcm": False}
    for kelvin in (MELTING, temperature):
        dynamics = Langevin(atoms, TIME_STEP * units.fs, temperature_K=kelvin, **settings)
        dynamics.run(STEPS_BEFORE_FIRST_FRAME // 2)
    for _ in tracked(range(n_frames), "sampling the melt"):
        dynamics.run(STEPS_BETWEEN_FRAMES)
        frame = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
        frame.set_cell(frame.cell * (1 + rng.uniform(-strain, strain)), scale_atoms=True)
        frame.wrap()
        yield frame


def crystal(n_cells: int, density: float = DENSITY) -> Atoms:
    """Rock salt at a density in g/cm³."""
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True).repeat(n_cells)
    volume = atoms.get_masses().sum() / (density * units._Nav * 1e-24)
    atoms.set_cell(atoms.cell * (volume / atoms.get_volume()) ** (1 / 3), scale_atoms=True)
    return atoms
