"""Small models of other packages, and their own calculators, for tests of the adapters."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule
from torch import nn


@dataclass(frozen=True)
class Package:
    """An adapter: module of the package, small settings, a trained model, and the package's calculator for it."""

    module: str
    settings: dict
    pretrained: str | None
    calculator: Callable

    @property
    def installed(self) -> bool:
        return find_spec(self.module) is not None


def sevennet_calculator(name):
    from sevenn.calculator import SevenNetCalculator

    return SevenNetCalculator(name, device="cpu")


def chgnet_calculator(name):
    from chgnet.model import CHGNet, CHGNetCalculator

    return CHGNetCalculator(CHGNet.load(model_name=name, use_device="cpu", verbose=False), use_device="cpu")


PACKAGES = {
    "chgnet": Package(
        "chgnet",
        {"atom_fea_dim": 8, "bond_fea_dim": 8, "angle_fea_dim": 8, "num_radial": 5, "num_angular": 5, "n_conv": 2},
        "0.3.0",
        chgnet_calculator,
    ),
    "sevennet": Package(
        "sevenn",
        {"channel": 4, "lmax": 1, "num_convolution_layer": 2, "weight_nn_hidden_neurons": [8]},
        "7net-0",
        sevennet_calculator,
    ),
}


def configured(name: str, **settings) -> nn.Module:
    """Small model from scratch, or whatever the settings say."""
    make = import_module(f"sognet.short_range.{name}").configured
    return make(
        ["C", "H", "O", "Na", "Cl"], **({} if "pretrained" in settings else PACKAGES[name].settings), **settings
    )


def salt() -> Atoms:
    """Rattled rock salt, triclinic, whose cell is smaller than twice a cutoff."""
    atoms = bulk("NaCl", "rocksalt", 5.6, cubic=True)
    shear = np.array([[1, 0.05, 0], [0, 1, 0.02], [0.01, 0, 1]])
    atoms.set_cell(atoms.cell.array @ shear, scale_atoms=True)
    atoms.rattle(0.1, seed=1)
    return atoms


def ethanol() -> Atoms:
    """A rattled molecule, not periodic."""
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.05, seed=2)
    return atoms


def boxed(atoms: Atoms) -> Atoms:
    """A molecule in a periodic box so large that its images do not see one another."""
    atoms = atoms.copy()
    if not atoms.pbc.any():
        atoms.center(vacuum=8.0)
        atoms.pbc = True
    return atoms


def structures() -> list[Atoms]:
    """Periodic, not periodic, of one atom."""
    return [salt(), ethanol(), Atoms("Na")]
