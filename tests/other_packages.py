"""Small models of other packages, and their own calculators, for tests of the adapters."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator
from torch import nn


@dataclass(frozen=True)
class Package:
    """An adapter: module of the package, small settings, and a trained model as settings, made in a folder where need
    be, with the package's own calculator.
    """

    module: str
    settings: dict
    trained: Callable[[Path], dict]
    calculator: Callable[[dict, nn.Module], Calculator]

    @property
    def installed(self) -> bool:
        return find_spec(self.module) is not None


def sevennet_calculator(settings, _):
    from sevenn.calculator import SevenNetCalculator

    return SevenNetCalculator(settings["pretrained"], device="cpu")


def chgnet_calculator(settings, _):
    from chgnet.model import CHGNet, CHGNetCalculator

    network = CHGNet.load(model_name=settings["pretrained"], use_device="cpu", verbose=False)
    return CHGNetCalculator(network, use_device="cpu")


def trained_mace(folder):
    """A file as mace writes it, of a model in double precision with energies of its elements."""
    torch.manual_seed(0)
    network = configured("mace").network.double()
    network.atomic_energies_fn.atomic_energies[:] = -torch.arange(1.0, 6.0)
    torch.save(network, folder / "trained.model")
    return {"checkpoint": str(folder / "trained.model"), "trust": ["mace"]}


def mace_calculator(settings, _):
    from mace.calculators import MACECalculator

    return MACECalculator(settings["checkpoint"], device="cpu", default_dtype="float64")


def nequip_calculator(_, model):
    """That of a model of nequip with the same weights, which differentiates by itself."""
    from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform
    from nequip.integrations.ase import NequIPCalculator
    from nequip.model import NequIPGNNModel

    names, cutoff = {"type_names": model.species}, {"r_max": model.cutoff}
    network = NequIPGNNModel(**model.settings, **names, **cutoff, seed=1, model_dtype="float32")
    network.load_state_dict(model.network.state_dict())
    transforms = [ChemicalSpeciesToAtomTypeMapper(model_type_names=model.species), NeighborListTransform(**cutoff)]
    return NequIPCalculator(network.eval(), "cpu", transforms=transforms)


PACKAGES = {
    "chgnet": Package(
        "chgnet",
        {"atom_fea_dim": 8, "bond_fea_dim": 8, "angle_fea_dim": 8, "num_radial": 5, "num_angular": 5, "n_conv": 2},
        lambda folder: {"pretrained": "0.3.0"},
        chgnet_calculator,
    ),
    "sevennet": Package(
        "sevenn",
        {"channel": 4, "lmax": 1, "num_convolution_layer": 2, "weight_nn_hidden_neurons": [8]},
        lambda folder: {"pretrained": "7net-0"},
        sevennet_calculator,
    ),
    "mace": Package(
        "mace",
        {"hidden_irreps": "8x0e+8x1o", "max_ell": 2, "correlation": 2, "num_bessel": 4},
        trained_mace,
        mace_calculator,
    ),
    "nequip": Package(
        "nequip",
        {"num_layers": 2, "num_features": 8, "radial_mlp_width": 8},
        lambda folder: {},
        nequip_calculator,
    ),
}


def needs(name: str) -> str:
    """Name of an adapter; the test is skipped where its package is not installed."""
    if not PACKAGES[name].installed:
        pytest.skip(f"needs {PACKAGES[name].module}: pip install 'sognet[{name}]'")
    return name


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
