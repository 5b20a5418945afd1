"""Predictions of a model for structures, their errors against the reference, and files of both."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import write
from rich.progress import track
from torch.utils.data import DataLoader
from torch_geometric.data import Batch

from sognet.data.datamodule import GraphDataset
from sognet.data.structure import Structure
from sognet.errors import InputError
from sognet.model import SOGNet


@dataclass
class Prediction:
    """What a model gives for one structure; eV, eV/Å, eV/Å³."""

    structure: Structure
    energy: float
    energy_short_range: float
    energy_long_range: float
    latent: np.ndarray  # (N, P)
    forces: np.ndarray | None = None  # (N, 3)
    stress: np.ndarray | None = None  # (3, 3)

    def to_atoms(self) -> Atoms:
        """ASE structure with the prediction, the reference under `reference_energy` and `reference_forces`, and what
        else the structure carried per structure or atom.
        """
        s = self.structure
        atoms = Atoms(numbers=s.numbers, positions=s.positions, cell=s.cell, pbc=s.pbc)
        atoms.info.update(
            {k: v for k, v in s.info.items() if isinstance(v, str | int | float | np.number | np.ndarray)}
        )
        atoms.arrays.update({k: v for k, v in s.arrays.items() if v.dtype.kind in "biufU"})
        atoms.info.update(
            energy=self.energy, energy_short_range=self.energy_short_range, energy_long_range=self.energy_long_range
        )
        if s.energy is not None:
            atoms.info["reference_energy"] = s.energy
        if self.forces is not None:
            atoms.arrays["forces"] = self.forces
        if s.forces is not None:
            atoms.arrays["reference_forces"] = s.forces
        if self.stress is not None and s.pbc.all():
            atoms.info["stress"] = self.stress
        if self.latent.shape[1]:
            atoms.arrays["latent"] = self.latent
        return atoms


def predict(
    model: SOGNet,
    structures: Sequence[Structure],
    batch_size: int = 16,
    stress: bool = False,
    num_workers: int = 0,
    progress: bool = False,
) -> Iterator[Prediction]:
    """Predictions in the order of the structures, on the device and in the precision of the model.

    Raises
    ------
    InputError : a structure with an element that the model does not know; names its source.
    """
    check_species(model, structures)
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    dataset = GraphDataset(structures, model.cutoff)
    loader = DataLoader(dataset, batch_size=batch_size, num_workers=num_workers, collate_fn=Batch.from_data_list)
    number = 0
    for batch in track(loader, description="evaluating", disable=not progress, transient=True):
        out = {k: v.detach().cpu().numpy() for k, v in model(batch.to(device), stress=stress).items()}
        bounds = batch.ptr.cpu().tolist()
        for i, (start, stop) in enumerate(pairwise(bounds)):
            yield Prediction(
                structure=structures[number],
                energy=float(out["energy"][i]),
                energy_short_range=float(out["energy_short_range"][i]),
                energy_long_range=float(out["energy_long_range"][i]),
                latent=out["latent"][start:stop],
                forces=out["forces"][start:stop],
                stress=out["stress"][i] if stress else None,
            )
            number += 1
    model.train(was_training)


def check_species(model: SOGNet, structures: Sequence[Structure]) -> None:
    """Raise an InputError, naming the structure, where a structure has an element that the model does not know."""
    known = set(model.species)
    for structure in structures:
        foreign = sorted(set(Atoms(numbers=np.unique(structure.numbers)).get_chemical_symbols()) - known)
        if foreign:
            raise InputError(
                f"{structure.source}: has {', '.join(foreign)}, which the model does not know "
                f"(it was trained on {', '.join(sorted(known))})"
            )


def errors(predictions: Sequence[Prediction]) -> dict[str, float]:
    """RMSE and MAE: energy in meV/atom, forces in meV/Å, stress in meV/Å³, of what has a reference; and counts."""
    result: dict[str, float] = {"n_structures": len(predictions), "n_atoms": sum(len(p.structure) for p in predictions)}
    differences = {
        "energy": [
            (p.energy - p.structure.energy) / len(p.structure) for p in predictions if p.structure.energy is not None
        ],
        "force": [(p.forces - p.structure.forces).ravel() for p in predictions if p.structure.forces is not None],
        "stress": [
            (p.stress - p.structure.stress).ravel()
            for p in predictions
            if p.stress is not None and p.structure.stress is not None
        ],
    }
    for target, values in differences.items():
        if values:
            difference = 1000.0 * np.hstack(values)
            result[f"{target}_rmse"] = float(np.sqrt(np.square(difference).mean()))
            result[f"{target}_mae"] = float(np.abs(difference).mean())
    return result


def write_predictions(path: str | Path, predictions: Sequence[Prediction], splits: Sequence[str]) -> None:
    """Extended XYZ of predictions, with the split of each."""
    frames = []
    for prediction, split in zip(predictions, splits, strict=True):
        atoms = prediction.to_atoms()
        atoms.info["split"] = split
        frames.append(atoms)
    write(path, frames, format="extxyz")
