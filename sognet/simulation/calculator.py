"""ASE calculator of a trained model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from sognet.data import Structure, build_graph
from sognet.errors import InputError
from sognet.model import SOGNet, load_model


class SOGNetCalculator(Calculator):
    """Energy (eV), forces (eV/Å) and, for periodic structures, stress (eV/Å³) of a model.

    `results` also hold `energy_short_range`, `energy_long_range` (eV) and `latent` (N, P). A model that was trained on
    total charges reads them from `atoms.info["charge"]`, zero if absent.

    Parameters
    ----------
    model : checkpoint of a run, or a model.
    device : where to compute.
    dtype : torch.float64 or torch.float32; by default that of the checkpoint.

    Raises
    ------
    InputError : the checkpoint cannot be used, or a structure has an element that the model does not know.
    """

    implemented_properties = ("energy", "free_energy", "forces", "stress")

    def __init__(
        self, model: str | Path | SOGNet, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        self.model = (
            model.to(device=device, dtype=dtype) if isinstance(model, SOGNet) else load_model(model, device, dtype)
        )
        self.model.eval()
        self.device = torch.device(device)

    def calculate(
        self, atoms: Atoms | None = None, properties: Sequence[str] = ("energy",), system_changes: Any = all_changes
    ) -> None:
        """Compute everything at once."""
        super().calculate(atoms, properties, system_changes)
        atoms = self.atoms
        if foreign := sorted(set(atoms.get_chemical_symbols()) - set(self.model.species)):
            raise InputError(f"the structure has {', '.join(foreign)}; the model knows {', '.join(self.model.species)}")
        structure = Structure(
            numbers=atoms.numbers,
            positions=atoms.positions.copy(),
            cell=atoms.cell.array.copy(),
            pbc=atoms.pbc.copy(),
            source="ASE",
            charge=float(atoms.info.get("charge", 0.0)),
        )
        periodic = bool(atoms.pbc.all())
        out = self.model(build_graph(structure, self.model.cutoff).to(self.device), stress=periodic)
        arrays = {k: v.detach().cpu().double().numpy() for k, v in out.items()}
        energy = arrays["energy"].item()
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": arrays["forces"],
            "energy_short_range": arrays["energy_short_range"].item(),
            "energy_long_range": arrays["energy_long_range"].item(),
            "latent": arrays["latent"],
        }
        if periodic:
            self.results["stress"] = full_3x3_to_voigt_6_stress(arrays["stress"][0])
