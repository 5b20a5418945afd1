"""Aqueous potassium fluoride with known charges, sampled by OpenMM: can a model find the charges from the forces?

Flexible water in the form of SPC/Fw (Y. Wu, H. L. Tepper, G. A. Voth, J. Chem. Phys. 124, 024503 (2006)) with the
charges that [CACE-SOG] gives (those of SPC/E), and the ions of I. S. Joung and T. E. Cheatham, J. Phys. Chem. B 112,
9020 (2008) for SPC/E. Coulomb forces by particle mesh Ewald, but for pairs within a molecule, which have none.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pooch
from ase import Atoms, units
from ase.io import write
from rich.progress import track

from sognet.data.cache import made_once
from sognet.data.io.readers import read_structures
from sognet.data.splits import Splits, split_off
from sognet.errors import InputError
from sognet.extras import require

if TYPE_CHECKING:
    import openmm  # an optional package, imported where it is needed

CHARGES = {"O": -0.8476, "H": 0.4238, "K": 1.0, "F": -1.0}  # e
KCAL = units.kcal / units.mol  # eV
LENNARD_JONES = {  # σ in Å and ε in eV
    "O": (3.165492, 0.1554253 * KCAL),
    "H": (1.0, 0.0),
    "K": (2 ** (5 / 6) * 1.593, 0.4297054 * KCAL),
    "F": (2 ** (5 / 6) * 2.257, 0.0074005 * KCAL),
}
BOND_LENGTH, BOND_CONSTANT = 1.012, 1059.162 * KCAL  # Å, eV/Å²; energy k/2 (r - r0)²
ANGLE, ANGLE_CONSTANT = np.deg2rad(113.24), 75.90 * KCAL  # rad, eV/rad²
VOLUME_OF_WATER = 29.9  # Å³ per molecule at 300 K
MOLAR = units.mol / 1e27  # per Å³ in 1 mol/L
TEMPERATURE = 300.0  # K
FRICTION = 2.0  # 1/ps
TIME_STEP = 0.5  # fs
STEPS_BEFORE_FIRST_FRAME = 20_000
STEPS_BETWEEN_FRAMES = 1000
LARGEST_CUTOFF = 9.0  # Å, of Lennard-Jones forces, which are switched off over the last tenth
VACUUM = 3.0  # length of the cell of an interface over that of the liquid

KJ_MOL = units.kJ / units.mol  # eV

logger = logging.getLogger(__name__)


def kf_water(
    n_water: int = 60,
    concentrations: Sequence[float] = (0.0, 1.0, 2.0),
    interface: bool = False,
    n_frames: int = 200,
    val_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
    val_seed: int | None = None,
    root: str | None = None,
) -> Splits:
    """Configurations of aqueous KF; generated once, then read from the cache.

    Structures carry the charges of the force field in e as `arrays["reference_charges"]`.

    Parameters
    ----------
    n_water : molecules of water.
    concentrations : mol/L of KF, rounded to whole ion pairs; the frames are shared out among them.
    interface : a slab of liquid between its vapour instead of the bulk.
    n_frames : configurations.
    val_fraction, test_fraction : of the configurations, drawn at random.
    seed : of the initial configurations, the thermostat and the split.
    val_seed : of another draw of the validation structures, with the same test structures.
    root : folder of the cache; by default the user's cache.

    Raises
    ------
    InputError : OpenMM is not installed, or numbers out of range.
    """
    if n_water < 10 or n_frames < len(concentrations) or not concentrations or min(concentrations) < 0:
        raise InputError(
            f"need n_water of at least 10, concentrations from 0 mol/L and as many frames as concentrations, got "
            f"{n_water}, {list(concentrations)} and {n_frames}"
        )
    n_pairs = [round(c * n_water * VOLUME_OF_WATER * MOLAR) for c in concentrations]
    settings = {"n_water": n_water, "n_pairs": n_pairs, "interface": interface, "n_frames": n_frames, "seed": seed}
    path = _cached(settings, root)
    with made_once(path) as partial:
        if partial:
            require("openmm", "generate")
            frames = _all_frames(n_water, n_pairs, interface, n_frames, seed)
            shown = track(frames, description="sampling aqueous KF", total=n_frames, transient=True)
            write(partial, list(shown), format="extxyz")
            logger.info("sampled %d configurations of aqueous KF, kept in %s", n_frames, path)
    return Splits("kf_water", *split_off(read_structures(path), val_fraction, test_fraction, seed, val_seed))


def _all_frames(n_water: int, n_pairs: Sequence[int], interface: bool, n_frames: int, seed: int) -> Iterator[Atoms]:
    shares = np.diff(np.linspace(0, n_frames, len(n_pairs) + 1).round().astype(int))
    for number, (pairs, share) in enumerate(zip(n_pairs, shares, strict=True)):
        yield from sample(n_water, pairs, interface, int(share), seed + 1000 * number)


def sample(n_water: int, n_pairs: int, interface: bool, n_frames: int, seed: int) -> Iterator[Atoms]:
    """Frames of a Langevin trajectory, with energy and forces in double precision."""
    import openmm
    from openmm import unit

    atoms = initial_configuration(n_water, n_pairs, seed)
    if interface:
        atoms.cell[2, 2] *= VACUUM
        atoms.positions[:, 2] += atoms.cell[2, 2] / 3
    integrator = openmm.LangevinMiddleIntegrator(TEMPERATURE, FRICTION, TIME_STEP / 1000)
    integrator.setRandomNumberSeed(seed + 1)
    threads = {"Threads": "1"}  # with several, the order of sums and so the trajectory would vary
    dynamics = openmm.Context(force_field(atoms, 1e-4), integrator, openmm.Platform.getPlatformByName("CPU"), threads)
    exact = openmm.Context(
        force_field(atoms, 1e-7), openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    dynamics.setPositions(atoms.positions / 10)
    openmm.LocalEnergyMinimizer.minimize(dynamics, 10.0, 500)
    dynamics.setVelocitiesToTemperature(TEMPERATURE, seed + 2)
    integrator.step(STEPS_BEFORE_FIRST_FRAME)
    for _ in range(n_frames):
        integrator.step(STEPS_BETWEEN_FRAMES)
        exact.setPositions(dynamics.getState(positions=True).getPositions())
        state = exact.getState(positions=True, energy=True, forces=True)
        frame = atoms.copy()
        frame.positions = state.getPositions(asNumpy=True).value_in_unit(unit.angstrom)
        frame.wrap()
        frame.info["energy"] = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole) * KJ_MOL
        forces = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.angstrom)
        frame.arrays["forces"] = forces * KJ_MOL
        yield frame


def initial_configuration(n_water: int, n_pairs: int, seed: int) -> Atoms:
    """Molecules with random orientation and ions on a cubic lattice at the density of water, O H H ... K ... F ..."""
    rng = np.random.default_rng(seed)
    n_sites = n_water + 2 * n_pairs
    length = (n_water * VOLUME_OF_WATER) ** (1 / 3)
    per_side = int(np.ceil(n_sites ** (1 / 3)))
    lattice = np.stack(np.meshgrid(*[np.arange(per_side)] * 3), axis=-1).reshape(-1, 3) * (length / per_side)
    sites = rng.permutation(lattice)[:n_sites]
    half = ANGLE / 2
    molecule = BOND_LENGTH * np.array([[0, 0, 0], [np.sin(half), np.cos(half), 0], [-np.sin(half), np.cos(half), 0]])
    rotations = np.linalg.qr(rng.normal(size=(n_water, 3, 3)))[0]
    water = sites[:n_water, None] + molecule @ rotations
    positions = np.concatenate([water.reshape(-1, 3), sites[n_water:]])
    symbols = ["O", "H", "H"] * n_water + ["K"] * n_pairs + ["F"] * n_pairs
    atoms = Atoms(symbols, positions=positions, cell=[length] * 3, pbc=True)
    atoms.arrays["reference_charges"] = np.array([CHARGES[s] for s in symbols])
    return atoms


def force_field(atoms: Atoms, tolerance: float) -> "openmm.System":
    """Bonds, angles, Lennard-Jones and Coulomb forces of a configuration, the latter to a relative error."""
    import openmm

    system = openmm.System()
    system.setDefaultPeriodicBoxVectors(*(atoms.cell.array / 10))
    nonbonded = openmm.NonbondedForce()
    nonbonded.setNonbondedMethod(openmm.NonbondedForce.PME)
    nonbonded.setEwaldErrorTolerance(tolerance)
    cutoff = lennard_jones_cutoff(atoms) / 10
    nonbonded.setCutoffDistance(cutoff)
    nonbonded.setUseSwitchingFunction(True)
    nonbonded.setSwitchingDistance(0.9 * cutoff)
    nonbonded.setUseDispersionCorrection(False)
    for symbol, mass in zip(atoms.symbols, atoms.get_masses(), strict=True):
        system.addParticle(mass)
        sigma, epsilon = LENNARD_JONES[symbol]
        nonbonded.addParticle(CHARGES[symbol], sigma / 10, epsilon / KJ_MOL)
    bonds, angles = openmm.HarmonicBondForce(), openmm.HarmonicAngleForce()
    for oxygen in np.flatnonzero(atoms.symbols == "O").tolist():
        first, second = oxygen + 1, oxygen + 2
        for hydrogen in (first, second):
            bonds.addBond(oxygen, hydrogen, BOND_LENGTH / 10, 100 * BOND_CONSTANT / KJ_MOL)
        angles.addAngle(first, oxygen, second, ANGLE, ANGLE_CONSTANT / KJ_MOL)
        for pair in ((oxygen, first), (oxygen, second), (first, second)):
            nonbonded.addException(*pair, 0.0, 0.1, 0.0)
    for force in (nonbonded, bonds, angles):
        system.addForce(force)
    return system


def lennard_jones_cutoff(atoms: Atoms) -> float:
    """Å; OpenMM needs less than half the box."""
    return min(LARGEST_CUTOFF, 0.49 * atoms.cell.lengths().min())


def _cached(settings: dict[str, Any], root: str | None) -> Path:
    """File of a data set; its name has a hash of everything that determines the configurations."""
    physics = [CHARGES, LENNARD_JONES, BOND_LENGTH, BOND_CONSTANT, ANGLE, ANGLE_CONSTANT, VOLUME_OF_WATER, TEMPERATURE]
    dynamics = [FRICTION, TIME_STEP, STEPS_BEFORE_FIRST_FRAME, STEPS_BETWEEN_FRAMES, LARGEST_CUTOFF, VACUUM]
    digest = hashlib.sha256(json.dumps([settings, physics, dynamics], sort_keys=True).encode()).hexdigest()[:10]
    folder = Path(root) if root else Path(pooch.os_cache("sognet"))
    return folder / "kf_water" / f"{'interface' if settings['interface'] else 'bulk'}-{digest}.xyz"
