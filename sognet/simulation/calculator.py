"""ASE calculator of a trained model or a committee."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from sognet.simulation.evaluator import Evaluator, Models


class SOGNetCalculator(Calculator):
    """Energy (eV), forces (eV/Å) and, for periodic structures, stress (eV/Å³) of a model.

    `energies` are those of the atoms (see SOGNet.forward). With one latent variable per atom `charges` (e) are the
    latents, `dipole` (e·Å) is theirs where nothing is periodic, and `born_effective_charges` (e) are there where asked
    for (sognet.model.response). Total charges are read from `atoms.info`, under the name that they had in training; a
    change of it is a change of the structure.

    Several models are a committee: energy, forces and stress are the members' means.

    Parameters
    ----------
    model : checkpoint or folder of a run, or a model, which is copied; several of these for a committee.
    device : where to compute; `auto`: on the GPU if there is one.
    dtype : torch.float64, torch.float32 or their names; by default that of the checkpoint.
    charge_key : name of the total charge (e) in `atoms.info`; by default as in training.
    trust : modules and packages outside this one from which a checkpoint may build its model; see load_model.
    field : uniform electric field in V/Å, as for Evaluator.

    Attributes
    ----------
    with_stress : whether every evaluation gives the stress; set by the first time that it is asked for, and by engines.
    other_results : what ASE has no name for: `energy_short_range`, `energy_long_range` (eV), `latent` (N, P), of a
        committee the members' latents side by side, `energy_uncertainty` (eV) and `forces_uncertainty` (N,) in eV/Å
        (see sognet.model.committee).

    Raises
    ------
    InputError : a checkpoint cannot be used, the members of a committee know different elements, or a structure has
        an element that the model does not know, or two atoms in one place.
    """

    def __init__(
        self,
        model: Models,
        device: str | int | torch.device = "cpu",
        dtype: torch.dtype | str | None = None,
        charge_key: str | None = None,
        trust: str | Iterable[str] = (),
        field: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.evaluator = Evaluator(model, device, dtype, charge_key, trust, field)
        self.other_results: dict[str, Any] = {}
        self.with_stress = False
        charges = ["charges", "dipole", "born_effective_charges"] if self.evaluator.has_charges else []
        self.implemented_properties = ["energy", "free_energy", "energies", "forces", "stress", *charges]

    def reset(self) -> None:
        """Forget what was computed."""
        super().reset()
        self.other_results = {}

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """What has changed since the last calculation; total charge and field as well."""
        if self.atoms is None:
            return list(all_changes)
        names = ("positions", "numbers", "cell", "pbc")
        changes = [n for n in names if not np.array_equal(getattr(self.atoms, n), getattr(atoms, n))]
        if changes:
            return changes
        key = self.evaluator.charge_key
        if self.evaluator.reads_charge and atoms.info.get(key, 0.0) != self.atoms.info.get(key, 0.0):
            return ["initial_charges"]  # ASE's name for what is nearest
        before, now = (self.evaluator.field_of(a, "atoms") for a in (self.atoms, atoms))
        return changes if np.array_equal(before, now) else ["initial_charges"]

    def calculate(
        self, atoms: Atoms | None = None, properties: Sequence[str] = ("energy",), system_changes: Any = all_changes
    ) -> None:
        """Compute energy and forces at once; stress and energies of atoms only where they are asked for."""
        super().calculate(atoms, properties, system_changes)
        structure = self.evaluator.structure(self.atoms, "atoms")
        further = [name for name in ("born_effective_charges",) if name in properties]
        self.with_stress |= "stress" in properties
        wanted = {"stress": self.with_stress, "energies": "energies" in properties, "properties": further}
        found = self.evaluator.step(structure, **wanted)
        self.results = self.evaluator.ase_results(found, structure)
        self.other_results = self.evaluator.other_results(found)
