"""Trajectories in H5MD, HDF5 for molecular data (de Buyl, Colberg, Höfling, 2014), version 1.1."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms, FixCartesian

from sognet.errors import InputError

OF_ATOMS = {"position": "Angstrom", "velocity": "Angstrom ps-1", "force": "kJ mol-1 Angstrom-1", "charge": "e"}
"""Elements of `/particles` that are read and written, with units that MDAnalysis knows as well."""

OBSERVABLES = {
    "potential_energy": ("energy", "eV"),
    "stress": ("stress", "eV Angstrom-3"),
    "dipole": ("dipole", "e Angstrom"),
}
"""Elements of `/observables`, with ASE's names of these results and the units of what is written."""

PARAMETERS, FIXED = "parameters/atoms", "parameters/fixed"
"""Where that is which all frames share: values of `atoms.info`, and the fixed components (N,3) of the positions."""

PS, KJ = 1000 * units.fs, units.kJ / units.mol
FACTORS = {
    "Angstrom": 1.0,
    "nm": 10.0,
    "ps": 1.0,
    "fs": 1e-3,
    "ns": 1e3,
    "Angstrom ps-1": 1 / PS,
    "Angstrom fs-1": 1 / units.fs,
    "nm ps-1": 10 / PS,
    "eV": 1.0,
    "kJ mol-1": KJ,
    "eV Angstrom-1": 1.0,
    "kJ mol-1 Angstrom-1": KJ,
    "kJ mol-1 nm-1": KJ / 10,
    "kcal mol-1 Angstrom-1": units.kcal / units.mol,
    "e": 1.0,
    "e Angstrom": 1.0,
    "eV Angstrom-3": 1.0,
}
"""ASE's units in one of these; ps for times."""


def opened(file: Path) -> h5py.File:
    """A file to be read, also while it is written or where its writer was killed.

    Raises
    ------
    InputError : its end is missing, for which readers beside a writer would wait.
    OSError : it is no HDF5 file.
    """
    try:
        root = h5py.File(file, swmr=True, libver="latest", locking=False)
    except OSError:
        return h5py.File(file, locking=False)  # of an older format
    if (there := file.stat().st_size) < (whole := root.id.get_filesize()):
        root.close()
        raise InputError(f"{file}: is cut off, {there} of {whole} bytes are there; copy the whole file once more")
    return root


def h5md_frames(file: Path) -> Iterator[Atoms]:
    """Frames of the first group of particles, with velocities, forces, charges and observables of the same steps.

    Raises
    ------
    InputError : no positions or elements of atoms, an unknown unit, or a quantity at other steps than the positions.
    """
    with opened(file) as root:
        groups = [g for g in root.get("particles", {}).values() if "position" in g]
        if not groups:
            raise InputError(f"{file}: no positions in /particles of this HDF5 file")
        particles = groups[0]
        if "species" not in particles:
            raise InputError(f"{file}: {particles.name} has no `species`; write the atomic numbers (N,) there")
        observables = root.get("observables", {})
        elements = {n: particles[n] for n in OF_ATOMS if n in particles}
        elements |= {n: observables[n] for n in OBSERVABLES if n in observables}
        numbers = particles["species"][:]
        masses = particles["mass"][:] if "mass" in particles else None
        constraints = _constraints(root[FIXED][:] if FIXED in root else np.zeros((len(numbers), 3), dtype=bool))
        info = {n: v[()].tolist() if v.ndim == 0 else v[:] for n, v in root.get(PARAMETERS, {}).items()}
        pbc = [_text(b) == "periodic" for b in np.broadcast_to(particles["box"].attrs["boundary"], 3)]
        for element in (*elements.values(), particles["box"].get("edges")):
            _check_steps(element, particles["position/step"])
        for frame in range(n_frames(particles)):
            values = {name: _value(element, frame) for name, element in elements.items()}
            atoms = Atoms(numbers, values.pop("position"), masses=masses, pbc=pbc, info=info | _when(particles, frame))
            if "edges" in particles["box"]:
                edges = _value(particles["box/edges"], frame)
                atoms.cell = np.diag(edges) if edges.ndim == 1 else edges
            if "velocity" in values:
                atoms.set_velocities(values.pop("velocity"))
            atoms.set_constraint(constraints)
            atoms.calc = SinglePointCalculator(atoms, **_results(values))
            yield atoms


def n_frames(particles: h5py.Group) -> int:
    """Frames that are there whole: the number of a step is written last."""
    position = particles["position"]
    return len(position["step"] if position["step"].ndim else position["value"])


def _check_steps(element: h5py.Group | h5py.Dataset | None, steps: h5py.Dataset) -> None:
    """Raise an InputError where a quantity that changes is at other steps than the positions."""
    if not isinstance(element, h5py.Group) or element["step"] == steps:
        return
    ours = element["step"]
    if not np.array_equal(ours[()], steps[()]) or ours.attrs.get("offset", 0) != steps.attrs.get("offset", 0):
        raise InputError(f"{element.file.filename}: {element.name} is at other steps than the positions")


def _value(element: h5py.Group | h5py.Dataset, frame: int) -> np.ndarray:
    """A quantity (N,3), (N,), (3,3), (3,) or () of a frame, or of all frames, in ASE's units."""
    if isinstance(element, h5py.Dataset):
        return element[()] * _factor(element)
    return element["value"][frame] * _factor(element["value"])


def _factor(dataset: h5py.Dataset) -> float:
    unit = _text(dataset.attrs.get("unit", "none"))
    if unit not in FACTORS:
        raise InputError(
            f"{dataset.file.filename}: {dataset.name} has the unit {unit}, which is not known; there are "
            f"{', '.join(FACTORS)}"
        )
    return FACTORS[unit]


def _when(particles: h5py.Group, frame: int) -> dict[str, float]:
    """Number of the step, and time in ps where there is one."""
    position, when = particles["position"], {"step": 0}
    for name in when | ({"time": 0} if "time" in position else {}):
        dataset = position[name]
        when[name] = (
            dataset[frame].item() if dataset.ndim else dataset.attrs.get("offset", 0) + frame * dataset[()].item()
        )
    return {"step": when["step"]} | ({"time_ps": when["time"] * _factor(position["time"])} if "time" in when else {})


def _results(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray | float]:
    """ASE's results; those that a frame lacks are not numbers."""
    names = {"force": "forces", "charge": "charges"} | {name: ours for name, (ours, _) in OBSERVABLES.items()}
    found = {names[name]: value for name, value in values.items() if np.isfinite(value).all()}
    if "energy" in found:
        found["energy"] = float(found["energy"])
    if "stress" in found and found["stress"].shape == (3, 3):
        found["stress"] = found["stress"][[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    return found


def _constraints(fixed: np.ndarray) -> list[FixAtoms | FixCartesian]:
    whole = fixed.all(1)
    some = np.flatnonzero(fixed.any(1) & ~whole)
    return [*([FixAtoms(mask=whole)] if whole.any() else []), *(FixCartesian(a, mask=fixed[a]) for a in some)]


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
