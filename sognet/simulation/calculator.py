"""ASE calculator of a trained model or a committee."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from sognet.data import Structure, build_graph
from sognet.errors import InputError
from sognet.model import SOGNet, load_model
from sognet.model.committee import check_members, energy_uncertainty, forces_uncertainty


class SOGNetCalculator(Calculator):
    """Energy (eV), forces (eV/Å) and, for periodic structures, stress (eV/Å³) of a model.

    `results` also hold `energy_short_range`, `energy_long_range` (eV) and `latent` (N, P). A model that was trained on
    total charges reads them from `atoms.info["charge"]`, zero if absent.

    Several models are a committee: energy, forces and stress are the members' means, `results` also hold
    `energy_uncertainty` (eV) and `forces_uncertainty` (N,) in eV/Å (see sognet.model.committee), and `latent` has the
    members' latents side by side.

    Parameters
    ----------
    model : checkpoint of a run, or a model; several of these for a committee.
    device : where to compute.
    dtype : torch.float64 or torch.float32; by default that of the checkpoint.

    Raises
    ------
    InputError : a checkpoint cannot be used, the members of a committee know different elements, or a structure has
        an element that the model does not know.
    """

    implemented_properties = ("energy", "free_energy", "forces", "stress")

    def __init__(
        self,
        model: str | Path | SOGNet | Sequence[str | Path | SOGNet],
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        given = [model] if isinstance(model, str | Path | SOGNet) else list(model)
        self.members = [
            m.to(device=device, dtype=dtype).eval() if isinstance(m, SOGNet) else load_model(m, device, dtype)
            for m in given
        ]
        if len(given) != 1:
            names = [f"model {i}" if isinstance(m, SOGNet) else str(m) for i, m in enumerate(given)]
            check_members(self.members, names)
        self.device = torch.device(device)

    def calculate(
        self, atoms: Atoms | None = None, properties: Sequence[str] = ("energy",), system_changes: Any = all_changes
    ) -> None:
        """Compute everything at once."""
        super().calculate(atoms, properties, system_changes)
        atoms = self.atoms
        species = self.members[0].species
        if foreign := sorted(set(atoms.get_chemical_symbols()) - set(species)):
            raise InputError(f"the structure has {', '.join(foreign)}; the model knows {', '.join(species)}")
        structure = Structure(
            numbers=atoms.numbers,
            positions=atoms.positions.copy(),
            cell=atoms.cell.array.copy(),
            pbc=atoms.pbc.copy(),
            source="ASE",
            charge=float(atoms.info.get("charge", 0.0)),
        )
        periodic = bool(atoms.pbc.all())
        graphs = {c: build_graph(structure, c).to(self.device) for c in {m.cutoff for m in self.members}}
        outputs = [
            {k: v.detach().cpu().double().numpy() for k, v in m(graphs[m.cutoff], stress=periodic).items()}
            for m in self.members
        ]
        every = {k: np.stack([out[k] for out in outputs]) for k in outputs[0] if k != "latent"}  # (M, ...)
        mean = {k: v.mean(0) for k, v in every.items()}
        self.results = {
            "energy": mean["energy"].item(),
            "free_energy": mean["energy"].item(),
            "forces": mean["forces"],
            "energy_short_range": mean["energy_short_range"].item(),
            "energy_long_range": mean["energy_long_range"].item(),
            "latent": np.hstack([out["latent"] for out in outputs]),
        }
        if periodic:
            self.results["stress"] = full_3x3_to_voigt_6_stress(mean["stress"][0])
        if len(self.members) > 1:
            self.results["energy_uncertainty"] = energy_uncertainty(every["energy"]).item()
            self.results["forces_uncertainty"] = forces_uncertainty(every["forces"])
