"""Structures and models for tests."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from torch_geometric.data import Batch, Data

from sognet import SOGNet
from sognet.data import Keys, Structure, build_graph
from sognet.long_range import FourierConvolution, SumOfGaussians
from sognet.model.checkpoint import model_entry
from sognet.short_range import DeepPotential

TRICLINIC = np.array([[7.0, 0.0, 0.0], [1.2, 6.5, 0.0], [-0.7, 0.9, 7.5]])
NO_TARGETS = Keys(energy=None, forces=None)


def random_atoms(n_atoms: int = 12, cell=TRICLINIC, pbc: bool = True, seed: int = 0) -> Atoms:
    """Na and Cl on a jittered grid."""
    rng = np.random.default_rng(seed)
    per_side = int(np.ceil(n_atoms ** (1 / 3)))
    sites = np.stack(np.meshgrid(*[np.arange(per_side)] * 3), -1).reshape(-1, 3)[:n_atoms] / per_side
    positions = (sites + 0.1 * rng.random((n_atoms, 3))) @ cell
    symbols = rng.permutation((["Na", "Cl"] * n_atoms)[:n_atoms])
    return Atoms(list(symbols), positions=positions, cell=cell, pbc=pbc)


def labelled_atoms(n_atoms: int = 12, seed: int = 0, **geometry) -> Atoms:
    """The same with random energy, forces and stress."""
    atoms = random_atoms(n_atoms, seed=seed, **geometry)
    rng = np.random.default_rng(seed)
    atoms.info["energy"] = -100.0 * n_atoms + rng.normal()
    atoms.info["stress"] = 0.01 * rng.normal(size=6)
    atoms.arrays["forces"] = rng.normal(size=(n_atoms, 3))
    return atoms


def graph_of(atoms: Atoms, cutoff: float = 4.0) -> Data:
    """Graph of an ASE structure without targets."""
    return build_graph(Structure.from_atoms(atoms, NO_TARGETS, "test"), cutoff)


def batch_of(*structures: Atoms, cutoff: float = 4.0) -> Batch:
    """Batch of ASE structures without targets."""
    return Batch.from_data_list([graph_of(a, cutoff) for a in structures])


def deep_potential(cutoff: float = 4.0, species: Sequence[str] = ("Na", "Cl"), **settings) -> DeepPotential:
    """Small descriptor with core and shell."""
    settings = {"core_embedding": (4, 8), "shell_embedding": (4, 8), "n_axis": 3} | settings
    return DeepPotential(species, cutoff, **settings)


def small_model(
    cutoff: float = 4.0,
    n_latent: int = 2,
    method: str = "auto",
    seed: int = 1,
    species: Sequence[str] = ("Na", "Cl"),
    **settings,
) -> SOGNet:
    """Small untrained model whose long-range energy is of the order of the short-range one."""
    torch.manual_seed(seed)
    kernel = SumOfGaussians.power_law(1.0, cutoff, n_gaussians=4)
    layer = FourierConvolution(kernel, method=method, tolerance=1e-9)
    return SOGNet(deep_potential(cutoff, species), layer, n_latent=n_latent, **settings)


def saved_model(path: Path, **settings) -> Path:
    """Checkpoint of a small model."""
    model = small_model(**settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(
        {"sognet": model_entry(model), "state_dict": {f"model.{k}": v for k, v in model.state_dict().items()}}, path
    )
    return path
