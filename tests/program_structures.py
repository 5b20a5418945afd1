"""Structures of one composition, and databases and DeePMD-kit systems with them."""

from pathlib import Path

import dpdata
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from structures import labelled_atoms


def labelled_frames(n: int = 3, n_atoms: int = 8) -> list[Atoms]:
    """Frames of one composition in one order, Cl before Na, rounded to the 8 decimals that extended XYZ has."""
    frames = []
    for seed in range(n):
        atoms = labelled_atoms(n_atoms, seed=seed)
        atoms = atoms[np.argsort(atoms.numbers)[::-1]]
        atoms.arrays["forces"] = atoms.arrays["forces"].round(8)
        atoms.positions = atoms.positions.round(8)
        frames.append(atoms)
    return frames


def write_database(path: Path, frames: list[Atoms]) -> Path:
    """ASE database of the form that the suffix names, with the reference values as results."""
    with connect(path) as database:
        for atoms in frames:
            plain = atoms.copy()
            results = {"energy": plain.info.pop("energy"), "forces": plain.arrays.pop("forces")}
            plain.calc = SinglePointCalculator(plain, **results, stress=plain.info.pop("stress"))
            database.write(plain)
    return path


def write_deepmd(path: Path, frames: list[Atoms], hdf5: bool = False) -> Path:
    """By dpdata, as an independent writer."""
    systems = []
    for atoms in frames:
        symbols = list(dict.fromkeys(atoms.get_chemical_symbols()))
        xx, yy, zz, yz, xz, xy = atoms.info["stress"]
        stress = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        data = {
            "atom_names": symbols,
            "atom_numbs": [atoms.get_chemical_symbols().count(s) for s in symbols],
            "atom_types": np.array([symbols.index(s) for s in atoms.get_chemical_symbols()]),
            "orig": np.zeros(3),
            "cells": atoms.cell.array[None],
            "coords": atoms.positions[None],
            "energies": np.array([atoms.info["energy"]]),
            "forces": atoms.arrays["forces"][None],
            "virials": -stress[None] * atoms.cell.volume,
        }
        systems.append(dpdata.LabeledSystem(data=data))
    together = systems[0]
    for system in systems[1:]:
        together.append(system)
    if hdf5:
        together.to("deepmd/hdf5", str(path), comp_prec=np.float64)
    else:
        together.to("deepmd/npy", str(path), set_size=2, prec=np.float64)
    return path
