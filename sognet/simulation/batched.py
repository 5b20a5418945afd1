"""Lists of ASE structures in one call: predictions and descriptors."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from sognet.data import Structure
from sognet.simulation.evaluator import Evaluator, Models


@dataclass
class Predictions:
    """What a model gives for a list of structures, in their order."""

    energy: np.ndarray  # (S,) eV
    forces: list[np.ndarray]  # (N, 3) of each, eV/Å
    stress: np.ndarray  # (S, 3, 3) eV/Å³; zero along open directions; NaN where nothing is periodic, or no volume
    results: list[dict[str, np.ndarray]]  # of each, under ASE's names
    other_results: list[dict[str, np.ndarray]]  # of each, what ASE has no name for; see SOGNetCalculator
    structures: list[Atoms] = field(repr=False)

    def __len__(self) -> int:
        return len(self.results)

    def to_atoms(self) -> list[Atoms]:
        """Copies of the structures, each with its results in a SinglePointCalculator."""
        frames = [atoms.copy() for atoms in self.structures]
        for atoms, results in zip(frames, self.results, strict=True):
            atoms.calc = SinglePointCalculator(atoms, **results)
        return frames


def predict(
    structures: Atoms | Sequence[Atoms],
    model: Models,
    batch_size: int = 16,
    device: str | int | torch.device = "cpu",
    dtype: torch.dtype | str | None = None,
    charge_key: str | None = None,
    energies: bool = False,
    trust: str | Iterable[str] = (),
    properties: Sequence[str] = (),
    field: Sequence[float] | None = None,
) -> Predictions:
    """Energies, forces and stresses of ASE structures, in batches.

    Parameters
    ----------
    structures : one or several, periodic or not, of any sizes.
    model, device, dtype, charge_key, trust, field : as for SOGNetCalculator.
    batch_size : structures that are evaluated together.
    energies : whether the energies of atoms are wanted.
    properties : further ones, of sognet.model.response.RESPONSES, `born_effective_charges` for instance.

    Raises
    ------
    InputError : as SOGNetCalculator; names the structure by its place in the list.
    """
    frames, evaluator = _listed(structures), Evaluator(model, device, dtype, charge_key, trust, field)
    made = [evaluator.structure(atoms, f"structure {i}") for i, atoms in enumerate(frames)]
    wanted = {"energies": energies, "properties": properties}
    found = [f for part in _parts(made, batch_size) for f in evaluator(part, **wanted)]
    unknown = np.full((3, 3), np.nan)
    return Predictions(
        energy=np.array([float(f["energy"]) for f in found]),
        forces=[f["forces"] for f in found],
        stress=np.array([f.get("stress", unknown) for f in found]).reshape(-1, 3, 3),
        results=[evaluator.ase_results(f, s) for f, s in zip(found, made, strict=True)],
        other_results=[evaluator.other_results(f) for f in found],
        structures=frames,
    )


def descriptors(
    structures: Atoms | Sequence[Atoms],
    model: Models,
    batch_size: int = 16,
    device: str | int | torch.device = "cpu",
    dtype: torch.dtype | str | None = None,
    trust: str | Iterable[str] = (),
) -> list[np.ndarray]:
    """Short-range features (N, n_features) of the atoms of each structure, in batches.

    Parameters and errors are those of `predict`; of a committee the first member's.
    """
    evaluator = Evaluator(model, device, dtype, trust=trust)
    made = [evaluator.structure(atoms, f"structure {i}") for i, atoms in enumerate(_listed(structures))]
    return [features for part in _parts(made, batch_size) for features in evaluator.features(part)]


def _parts(structures: list[Structure], size: int) -> Iterator[list[Structure]]:
    return (structures[start : start + size] for start in range(0, len(structures), size))


def _listed(structures: Atoms | Sequence[Atoms]) -> list[Atoms]:
    return [structures] if isinstance(structures, Atoms) else list(structures)
