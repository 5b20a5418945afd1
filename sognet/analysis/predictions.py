"""Predictions of a model for structures, their errors against the reference, and files of both."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import write
from ase.spacegroup import Spacegroup
from ase.stress import full_3x3_to_voigt_6_stress
from torch import Tensor
from torch.utils.data import DataLoader
from torch_geometric.data import Batch

from sognet.data.loading.datamodule import GraphDataset
from sognet.data.slabs import check_slabs
from sognet.data.splits import Splits
from sognet.data.structure import Structure
from sognet.errors import InputError
from sognet.model import SOGNet
from sognet.model.response import RESPONSES, responds
from sognet.progress import tracked
from sognet.targets import COMMON, TARGETS, Target, error_figures, further_targets

REFERENCE = ("energy", "free_energy", "energies", "forces", "stress", "stresses")
"""Results of the reference calculation that would pass for predicted ones if they kept their names."""


@dataclass
class Prediction:
    """What a model, or the mean of a committee, gives for one structure; eV, eV/Å, eV/Å³."""

    structure: Structure
    energy: float
    energy_short_range: float
    energy_long_range: float
    latent: np.ndarray  # (N, P); of a committee: of one member after the other, (N, Σ P)
    forces: np.ndarray | None = None  # (N, 3)
    stress: np.ndarray | None = None  # (3, 3)
    energy_uncertainty: float | None = None  # of a committee, see sognet.model.committee
    forces_uncertainty: np.ndarray | None = None  # (N,)
    further: dict[str, np.ndarray] = field(default_factory=dict)  # of further targets, by name

    def value(self, target: str) -> float | np.ndarray | None:
        """Predicted value of a target by its name; None where it was not predicted."""
        return getattr(self, target) if target in COMMON else self.further.get(target)

    @property
    def energy_of_atoms(self) -> float:
        """Sum of the reference energies of the atoms (E0s): what is left of the energy without its two other parts."""
        return self.energy - self.energy_short_range - self.energy_long_range

    def to_atoms(self) -> Atoms:
        """ASE structure with the prediction, the reference under `reference_energy`, `reference_forces` and
        `reference_stress` (six values in Voigt's order), and what else the structure carried per structure or atom,
        where extended XYZ can hold it.
        """
        s = self.structure
        atoms = Atoms(numbers=s.numbers, positions=s.positions, cell=s.cell, pbc=s.pbc)
        for name, value in (s.info | s.arrays).items():
            kept = f"reference_{name}" if name in (*REFERENCE, *TARGETS) else name
            if name in s.arrays and (column := _as_column(value)) is not None:
                atoms.arrays[kept] = column
            elif name in s.info and _fits_into_a_comment(value):
                atoms.info[kept] = value
        further = {t.name: (t, self.value(t.name), s.value(t.name)) for t in further_targets()}
        of_six = None if s.stress is None else full_3x3_to_voigt_6_stress(s.stress)  # a matrix would be written as JSON
        references = {"energy": s.energy, "stress": of_six}
        references |= {name: reference for name, (t, _, reference) in further.items() if not t.per_atom}
        values = {
            "energy": self.energy,
            "energy_short_range": self.energy_short_range,
            "energy_long_range": self.energy_long_range,
            "energy_of_atoms": self.energy_of_atoms,
            "energy_uncertainty": self.energy_uncertainty,
            "stress": self.stress if s.has_stress else None,
        } | {f"reference_{name}": value for name, value in references.items()}
        values |= {name: value for name, (t, value, _) in further.items() if not t.per_atom}
        columns = {
            "forces": self.forces,
            "forces_uncertainty": self.forces_uncertainty,
            "latent": self.latent if self.latent.shape[1] else None,
            "reference_forces": s.forces,
        }
        for name, (t, value, reference) in further.items():
            if t.per_atom:
                columns |= {name: value, f"reference_{name}": reference}
        atoms.info.update({name: value for name, value in values.items() if value is not None})
        there = {name: np.asarray(value) for name, value in columns.items() if value is not None}
        atoms.arrays.update({name: v.reshape(len(s), -1) if v.ndim > 2 else v for name, v in there.items()})
        return atoms


def _as_column(values: np.ndarray) -> np.ndarray | None:
    """Values per atom as extended XYZ can hold them; None where it cannot."""
    if values.ndim > 2:
        return None
    if values.dtype.kind == "O" and all(isinstance(v, str) for v in values.flat):
        return values.astype(str)
    if values.dtype.kind == "u":
        return values.astype(np.int64)
    return values if values.dtype.kind in "bifU" else None


def _fits_into_a_comment(value: Any) -> bool:
    """Whether the comment line of extended XYZ can hold a value."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biufU"
    if isinstance(value, str | bool | int | float | np.number | np.bool_ | Spacegroup):
        return True
    try:
        return value is not None and bool(json.dumps(value))
    except (TypeError, ValueError):
        return False


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
    InputError : a structure with an element that the model does not know, or a slab that its long range cannot sum;
        names its source.
    """
    check_species(model, structures)
    if not getattr(model.long_range, "takes_slabs", True):
        check_slabs(structures)
    was_training = model.training
    model.eval()
    device = model.device
    dataset = GraphDataset(structures, model.cutoff)
    loader = DataLoader(dataset, batch_size=batch_size, num_workers=num_workers, collate_fn=Batch.from_data_list)
    wanted = [name for name in RESPONSES if name in TARGETS]
    further = {"properties": wanted} if wanted and responds(model) else {}
    for batch in tracked(loader, "evaluating") if progress else loader:
        yield from batch_predictions(model(batch.to(device), stress=stress, **further), batch, structures)
    model.train(was_training)


def batch_predictions(
    outputs: Mapping[str, Tensor], batch: Batch, structures: Sequence[Structure]
) -> Iterator[Prediction]:
    """Predictions of the structures of a batch from a model's outputs; `batch.id` are their places in the sequence."""
    out = {name: value.detach().cpu().numpy() for name, value in outputs.items()}
    for i, (number, (start, stop)) in enumerate(zip(batch.id.tolist(), pairwise(batch.ptr.tolist()), strict=True)):
        yield Prediction(
            structure=structures[number],
            energy=float(out["energy"][i]),
            energy_short_range=float(out["energy_short_range"][i]),
            energy_long_range=float(out["energy_long_range"][i]),
            latent=out["latent"][start:stop],
            forces=out["forces"][start:stop] if "forces" in out else None,
            stress=out["stress"][i] if "stress" in out else None,
            further={
                t.name: out[t.name][start:stop] if t.per_atom else out[t.name][i]
                for t in further_targets()
                if t.name in out
            },
        )


def predict_splits(
    model: SOGNet, splits: Splits, batch_size: int = 16, stress: bool = False, progress: bool = False
) -> dict[str, list[Prediction]]:
    """Predictions for every split of a data set."""
    return {s: list(predict(model, members, batch_size, stress=stress, progress=progress)) for s, members in splits}


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
    """RMSE and MAE of the targets by the definition of sognet.targets, of what has a reference: energy in meV/atom,
    forces in meV/Å, stress in meV/Å³; and counts: `n_structures`, `n_atoms`, and of a target that some of the
    structures lack, `n_<label>` that have it.
    """
    result: dict[str, float] = {"n_structures": len(predictions), "n_atoms": sum(len(p.structure) for p in predictions)}
    for target in TARGETS.values():
        known = labelled(target, predictions)
        if known:
            result |= error_figures(target, np.concatenate([target_error(target, p).ravel() for p in known]))
            if len(known) < len(predictions):
                result[f"n_{target.label}"] = len(known)
    return result


def labelled(target: Target, predictions: Sequence[Prediction]) -> list[Prediction]:
    """Those that have both a prediction and a reference value of a target."""
    return [p for p in predictions if p.value(target.name) is not None and target.reference(p.structure) is not None]


def target_error(target: Target, prediction: Prediction) -> np.ndarray:
    """Errors (n, *shape) of the values of a structure, in the unit of the value, for energies per atom."""
    predicted, reference = prediction.value(target.name), target.reference(prediction.structure)
    difference = np.asarray(predicted, dtype=float) - np.asarray(reference, dtype=float)
    if not target.per_atom:
        difference = difference[None]
    return target.normalized(difference, np.full(len(difference), len(prediction.structure)))


def split_errors(by_split: Mapping[str, Sequence[Prediction]]) -> dict[str, dict[str, float]]:
    """Errors per split and for `all`."""
    together = [p for members in by_split.values() for p in members]
    return {split: errors(members) for split, members in by_split.items()} | {"all": errors(together)}


def write_predictions(path: str | Path, predictions: Sequence[Prediction], splits: Sequence[str]) -> None:
    """Extended XYZ of predictions, with the split of each."""
    frames = []
    for prediction, split in zip(predictions, splits, strict=True):
        atoms = prediction.to_atoms()
        atoms.info["split"] = split
        frames.append(atoms)
    write(path, frames, format="extxyz")
