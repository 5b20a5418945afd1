"""The built-in data set: ±1 ions with Coulomb and Lennard-Jones forces, after [SOG-Net], Fig. 2.

Langevin dynamics of the primitive model of a 1:1 salt in acetonitrile: the solvent is a dielectric, the ions repel and
attract each other by Lennard-Jones forces. A model that is given the charges has to find out by itself that the rest
of the interaction decays as 1/r, and the solvent's permittivity.
"""

import hashlib
import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pooch
import torch
import torchpme
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.io import write
from ase.md.langevin import Langevin
from rich.progress import track

from sognet.data.cache import made_once
from sognet.data.datasets.generators.ion_box import COULOMB_CONSTANT, THREADS, IonBox, one_thread
from sognet.data.io.readers import read_structures
from sognet.data.splits import Splits, split_off
from sognet.errors import InputError

PERMITTIVITY = 37.5  # of acetonitrile at 298 K
TEMPERATURE = 300.0  # K
DIAMETER = 3.0  # Lennard-Jones σ, Å
WELL_DEPTH = 0.01  # Lennard-Jones ε, eV
LENNARD_JONES_CUTOFF = 2 * DIAMETER
WIDER_DIAMETER = 4.5  # Å, of ions with another power of the distance, whose tail is a good part of their forces then
SWITCH_ONSET = DIAMETER  # where the control begins to switch its Coulomb forces off
MOLAR = units.mol / 1e27  # ions per Å³ in 1 mol/L
TIME_STEP = 15.0  # fs
STEPS_BETWEEN_FRAMES = 15
STEPS_BEFORE_FIRST_FRAME = 200
EXPONENTS = (1, 2, 3, 4, 5, 6)

logger = logging.getLogger(__name__)


class IonCalculator(Calculator):
    """Charges in a dielectric, and Lennard-Jones forces shifted to zero at their cutoff.

    Parameters
    ----------
    charges : (N,) in e.
    box_length : Å, of the cubic box; sets the split of the Ewald sum.
    interaction : "coulomb" for the Ewald sum (torch-pme), "short_range" for Coulomb forces switched off smoothly
        before the cutoff of the Lennard-Jones forces.
    exponent : p of q_i q_j σ^(p−1)/r^p in the place of Coulomb's 1/r, which it equals at σ = 4.5 Å; summed over all
        images. The ions are wider then and repel each other without attraction.
    """

    implemented_properties = ("energy", "forces")

    def __init__(self, charges: np.ndarray, box_length: float, interaction: str = "coulomb", exponent: int = 1) -> None:
        super().__init__()
        self.charges = torch.from_numpy(charges)[:, None]
        self.interaction = interaction
        self.contact = _lennard_jones if exponent == 1 else _repulsion
        self.cutoff = box_length / 2 if interaction == "coulomb" else LENNARD_JONES_CUTOFF
        smearing = self.cutoff / 5.0  # forces converged to 1e-6 eV/Å
        wavelength = smearing if exponent == 1 else smearing / 2
        self.ewald = torchpme.EwaldCalculator(_potential(exponent, smearing), lr_wavelength=wavelength).double()

    def calculate(self, atoms: Atoms | None = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        """Energy (eV) and forces (eV/Å)."""
        super().calculate(atoms, properties, system_changes)
        box = IonBox(atoms, self.cutoff)
        contact = self.contact(box.distance).sum()
        if self.interaction == "coulomb":
            electrostatic = box.ewald_energy(self.ewald, self.charges)
        else:
            electrostatic = (self.charges[box.pairs].prod(1)[:, 0] * _switched_inverse(box.distance)).sum()
        self.results = box.results(contact + COULOMB_CONSTANT / PERMITTIVITY * electrostatic)


def electrolyte(
    interaction: str = "coulomb",
    n_ions: int = 96,
    concentration: float = 1.0,
    n_frames: int = 160,
    val_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
    val_seed: int | None = None,
    root: str | None = None,
    exponent: int = 1,
) -> Splits:
    """Configurations of ions in a cubic periodic box; generated once, then read from the cache.

    Parameters
    ----------
    interaction : "coulomb", or "short_range" for the control whose forces all end at 2σ.
    n_ions : half of them Na with charge +1, half Cl with −1.
    concentration : mol/L of each.
    n_frames : configurations.
    val_fraction, test_fraction : of the configurations, drawn at random.
    seed : of the initial configuration, the thermostat and the split.
    val_seed : of another draw of the validation structures, with the same test structures.
    root : folder of the cache; by default the user's cache.
    exponent : p of the charges' interaction q_i q_j σ^(p−1)/r^p in the place of Coulomb's 1/r, which it equals at
        σ = 4.5 Å, the diameter of the ions then: synthetic data whose decay is known.

    Raises
    ------
    InputError : an unknown interaction or exponent, an odd number of ions, or a cache that cannot be written to.
    """
    if interaction not in ("coulomb", "short_range"):
        raise InputError(f"dataset.interaction must be coulomb or short_range, got {interaction!r}")
    if exponent not in EXPONENTS or (exponent != 1 and interaction != "coulomb"):
        known = ", ".join(map(str, EXPONENTS))
        raise InputError(f"dataset.exponent must be one of {known}, 1 for short_range, got {exponent!r}")
    if n_ions % 2 or n_ions < 2 or n_frames < 1:
        raise InputError(f"need an even number of ions and at least one frame, got {n_ions} and {n_frames}")
    settings = {"interaction": interaction, "n_ions": n_ions, "concentration": concentration, "n_frames": n_frames}
    if exponent != 1:
        settings |= {"exponent": exponent, "diameter": WIDER_DIAMETER}
    path = _cached(settings | {"seed": seed}, root)
    with made_once(path) as partial:
        if partial:
            frames = track(
                sample(interaction, n_ions, concentration, n_frames, seed, exponent),
                description="sampling the electrolyte",
                total=n_frames,
                transient=True,
            )
            with one_thread():
                write(partial, list(frames), format="extxyz")
            logger.info("sampled %d configurations of %d ions, kept in %s", n_frames, n_ions, path)
    parts = split_off(read_structures(path), val_fraction, test_fraction, seed, val_seed)
    return Splits(f"electrolyte-{interaction}" + (f"-{exponent}" if exponent != 1 else ""), *parts)


def sample(
    interaction: str, n_ions: int, concentration: float, n_frames: int, seed: int, exponent: int = 1
) -> Iterable[Atoms]:
    """Frames of a Langevin trajectory, with energy and forces."""
    rng = np.random.default_rng(seed)
    length = (n_ions / (2 * concentration * MOLAR)) ** (1 / 3)
    per_side = int(np.ceil(n_ions ** (1 / 3)))
    lattice = np.stack(np.meshgrid(*[np.arange(per_side)] * 3), axis=-1).reshape(-1, 3) * (length / per_side)
    sites = rng.permutation(lattice)[:n_ions]
    signs = np.where(np.arange(n_ions) < n_ions // 2, 1.0, -1.0)
    symbols = np.where(signs > 0, "Na", "Cl").tolist()
    atoms = Atoms(symbols, positions=sites, cell=[length] * 3, pbc=True)
    atoms.calc = IonCalculator(signs, length, interaction, exponent)
    dynamics = Langevin(
        atoms, TIME_STEP * units.fs, temperature_K=TEMPERATURE, friction=0.003 / units.fs, rng=rng, fixcm=False
    )
    dynamics.run(STEPS_BEFORE_FIRST_FRAME)
    for _ in range(n_frames):
        dynamics.run(STEPS_BETWEEN_FRAMES)
        frame = atoms.copy()
        frame.wrap()
        frame.set_momenta(None)
        frame.info["energy"] = atoms.get_potential_energy()
        frame.arrays["forces"] = atoms.get_forces()
        yield frame


def _potential(exponent: int, smearing: float) -> torchpme.Potential:
    """σ^(p−1)/r^p with its split for the Ewald sum."""
    if exponent == 1:
        return torchpme.CoulombPotential(smearing=smearing)
    return torchpme.InversePowerLawPotential(exponent, smearing=smearing, prefactor=WIDER_DIAMETER ** (exponent - 1))


def _lennard_jones(distance: torch.Tensor) -> torch.Tensor:
    """4ε[(σ/r)¹² − (σ/r)⁶], shifted in energy and force to reach zero at the cutoff."""
    cutoff = torch.tensor(LENNARD_JONES_CUTOFF, dtype=distance.dtype)
    inside = distance < cutoff
    edge = (DIAMETER / cutoff) ** 6
    slope = WELL_DEPTH * (24 * edge - 48 * edge**2) / cutoff
    power = torch.where(inside, DIAMETER / distance, 0.0) ** 6
    energy = 4 * WELL_DEPTH * (power**2 - power - edge**2 + edge) - slope * (distance - cutoff)
    return torch.where(inside, energy, 0.0)


def _repulsion(distance: torch.Tensor) -> torch.Tensor:
    """4ε(σ/r)¹² of wider ions, switched off before the cutoff."""
    return 4 * WELL_DEPTH * (WIDER_DIAMETER / distance) ** 12 * _switch(distance)


def _switched_inverse(distance: torch.Tensor) -> torch.Tensor:
    """1/r, switched off before the cutoff."""
    return _switch(distance) / distance


def _switch(distance: torch.Tensor) -> torch.Tensor:
    """From 1 at 3 Å to 0 at 6 Å by the polynomial that is twice continuously differentiable."""
    x = ((distance - SWITCH_ONSET) / (LENNARD_JONES_CUTOFF - SWITCH_ONSET)).clamp(0.0, 1.0)
    return 1 - x**3 * (10 - 15 * x + 6 * x**2)


def _cached(settings: dict[str, Any], root: str | None) -> Path:
    """File of a data set; its name has a hash of everything that determines the configurations."""
    physics = [
        PERMITTIVITY,
        TEMPERATURE,
        DIAMETER,
        WELL_DEPTH,
        SWITCH_ONSET,
        TIME_STEP,
        STEPS_BETWEEN_FRAMES,
        STEPS_BEFORE_FIRST_FRAME,
        THREADS,
    ]
    digest = hashlib.sha256(json.dumps([settings, physics], sort_keys=True).encode()).hexdigest()[:10]
    folder = Path(root) if root else Path(pooch.os_cache("sognet"))
    return folder / "electrolyte" / f"{settings['interaction']}-{digest}.xyz"
