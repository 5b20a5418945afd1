"""Models for torch-sim's integrators and optimizers: many systems at once, or the atoms of one simulation."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from ase import Atoms
from torch_sim.models.interface import ModelInterface
from torch_sim.state import SimState

from sognet.simulation.engines.callback import Callback
from sognet.simulation.evaluator import Evaluator, Models


class TorchSimModel(ModelInterface):
    """A model or committee for `torch_sim.integrate`, `optimize` and the like: all systems are one batch.

    Energy (S,), forces (N,3) and stress (S,3,3) in double precision; the stress of what is not periodic is zero. Total
    charges are zero.

    Parameters
    ----------
    model, device, dtype, trust : as for SOGNetCalculator.
    compute_stress : whether the stress is wanted.

    Raises
    ------
    InputError : as SOGNetCalculator.
    """

    def __init__(
        self,
        model: Models,
        device: str | int | torch.device = "cpu",
        dtype: torch.dtype | str | None = None,
        trust: str | Iterable[str] = (),
        compute_stress: bool = True,
    ) -> None:
        super().__init__()
        self.evaluator = Evaluator(model, device, dtype, trust=trust)
        self._device, self._dtype = self.evaluator.device, torch.float64
        self._compute_stress, self._compute_forces = compute_stress, True

    def forward(self, state: SimState | dict, **kwargs: object) -> dict[str, torch.Tensor]:
        """Energies, forces and stresses of all systems of a state."""
        state = state if isinstance(state, SimState) else SimState(**state)
        structures = [self.evaluator.structure(a, f"system {i}") for i, a in enumerate(_atoms_of(state))]
        found = self.evaluator(structures, stress=self.compute_stress)
        results = {
            "energy": np.array([float(f["energy"]) for f in found]),
            "forces": np.concatenate([f["forces"] for f in found]),
        }
        if self.compute_stress:
            results["stress"] = np.stack([f.get("stress", np.zeros((3, 3))) for f in found])
        return {name: torch.from_numpy(value).to(self.device) for name, value in results.items()}


class CallbackModel(ModelInterface):
    """Lets torch-sim move the atoms of a simulation.

    Parameters
    ----------
    callback : gives the forces.
    """

    def __init__(self, callback: Callback) -> None:
        super().__init__()
        self.callback = callback
        self._device, self._dtype = torch.device("cpu"), torch.float64
        self._compute_stress, self._compute_forces = callback.stress, True

    def forward(self, state: SimState, **kwargs: object) -> dict[str, torch.Tensor]:
        """Energy (1,) and forces (N,3)."""
        found = self.callback(state.positions.numpy())
        self.callback.check()
        energy = torch.tensor([found.energy], dtype=torch.float64)
        return {"energy": energy, "forces": torch.from_numpy(found.forces.copy())}


def _atoms_of(state: SimState) -> Sequence[Atoms]:
    numbers, positions, cells = (
        value.detach().cpu().numpy() for value in (state.atomic_numbers, state.positions, state.row_vector_cell)
    )
    bounds = np.cumsum(np.bincount(state.system_idx.cpu().numpy()))[:-1]
    parts = zip(np.split(numbers, bounds), np.split(positions, bounds), cells, strict=True)
    return [Atoms(z, x, cell=cell, pbc=state.pbc) for z, x, cell in parts]
