"""Energies, forces and the rest of ASE structures from a model or a committee: what calculators and lists share."""

import copy
import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress
from torch import Tensor
from torch_geometric.data import Batch, Data

from sognet.data import Structure
from sognet.data.graph import build_batch
from sognet.data.slabs import check_slabs
from sognet.errors import InputError
from sognet.freed_memory import keep_freed_memory
from sognet.model import SOGNet, load_model
from sognet.model.baseline import bring_baseline
from sognet.model.checkpoint import as_device, as_dtype
from sognet.model.committee import charge_signs, check_members, energy_uncertainty, forces_uncertainty
from sognet.model.response import RESPONSES
from sognet.simulation.moving_structure import MovingStructure

Models = str | Path | SOGNet | Sequence[str | Path | SOGNet]
"""A checkpoint, the folder of a run or a model; several of these are a committee."""

PER_ATOM = ("forces", "energies", "latent", "charges", "born_effective_charges")
"""Outputs of a model with one row for each atom; the others have one for each structure."""


class Evaluator:
    """A model, or the mean of a committee, for ASE structures.

    A model that is given is copied: the caller's stays where, and in the mode, it is. On a CPU the process keeps freed
    memory from then on; see keep_freed_memory.

    Parameters
    ----------
    models : a checkpoint, the folder of a run or a model; several of these for a committee.
    device : where to compute; `auto`: on the GPU if there is one.
    dtype : torch.float64, torch.float32 or their names; by default that of the checkpoint.
    charge_key : name of the total charge (e) in `atoms.info`; by default as in training.
    trust : modules and packages outside this one from which a checkpoint may build its model; see load_model.
    field : uniform field in V/Å, which acts on the first latent as on a charge in e; `atoms.info["field"]` goes before
        it. Its work is part of the energy along open directions; along periodic ones it has forces and no energy.

    Raises
    ------
    InputError : a checkpoint cannot be used, the members of a committee know different elements, or there are no
        charges on which a field could act.
    """

    def __init__(
        self,
        models: Models,
        device: str | int | torch.device = "cpu",
        dtype: torch.dtype | str | None = None,
        charge_key: str | None = None,
        trust: str | Iterable[str] = (),
        field: Sequence[float] | None = None,
    ) -> None:
        given = [models] if isinstance(models, str | Path | SOGNet) else list(models)
        self.device = as_device(device)
        if self.device.type == "cpu":
            keep_freed_memory()
        self.members = [
            copy.deepcopy(m).to(device=self.device, dtype=as_dtype(dtype)).eval()
            if isinstance(m, SOGNet)
            else load_model(m, self.device, dtype, trust)
            for m in given
        ]
        for member in self.members:
            member.requires_grad_(False)
        if len(given) != 1:
            check_members(
                self.members, [f"model {i}" if isinstance(m, SOGNet) else str(m) for i, m in enumerate(given)]
            )
        self.moving = MovingStructure(self.device)
        self.charge_key = charge_key or self.members[0].charge_key
        self.has_charges = (
            len(self.members) == 1 and self.members[0].long_range is not None and self.members[0].n_latent == 1
        )
        self.total_charge = any(m.total_charge for m in self.members)
        self.reads_charge = self.total_charge or any(m.neutral and m.latent_head is not None for m in self.members)
        self.field = self._checked_field(field, "field")

    def structure(self, atoms: Atoms, source: str) -> Structure:
        """Structure of ASE's atoms, with their total charge.

        Raises
        ------
        InputError : an element that the model does not know, what is not finite, or a slab that the long range cannot
            sum.
        """
        species = self.members[0].species
        if foreign := sorted(set(atoms.get_chemical_symbols()) - set(species)):
            raise InputError(f"{source}: the structure has {', '.join(foreign)}; the model knows {', '.join(species)}")
        if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
            raise InputError(f"{source}: a position or the cell is not finite")
        structure = Structure(
            numbers=atoms.numbers,
            positions=np.array(atoms.positions, dtype=float, order="C"),
            cell=np.array(atoms.cell.array, dtype=float, order="C"),
            pbc=atoms.pbc.copy(),
            source=source,
            charge=self.charge(atoms),
        )
        if (field := self.field_of(atoms, source)) is not None:
            structure.info["field"] = field
        if not all(getattr(m.long_range, "takes_slabs", True) for m in self.members):
            check_slabs([structure])
        return structure

    def charge(self, atoms: Atoms) -> float:
        """Total charge (e) that the model is told, or to which its latents add up; zero where there is none, with a
        warning from a model that has total charges among its features.
        """
        if not self.reads_charge:
            return 0.0
        if self.total_charge and self.charge_key not in atoms.info:
            warnings.warn(
                f"the model was trained on total charges and finds no atoms.info[{self.charge_key!r}]; it takes 0",
                stacklevel=2,
            )
        return float(atoms.info.get(self.charge_key, 0.0))

    def field_of(self, atoms: Atoms, source: str) -> np.ndarray | None:
        """Field (3,) in V/Å that acts on a structure; None without one.

        Raises
        ------
        InputError : not three numbers, or the model has no charges.
        """
        if (field := atoms.info.get("field")) is None:
            return self.field
        return self._checked_field(field, f"{source}: atoms.info['field']")

    def _checked_field(self, field: Sequence[float] | None, name: str) -> np.ndarray | None:
        if field is None:
            return None
        try:
            found = np.array(field, dtype=float)
        except (TypeError, ValueError):
            found = np.zeros(0)
        if found.shape != (3,) or not np.isfinite(found).all():
            raise InputError(f"{name} must be three numbers in V/Å, got {field!r}")
        if any(m.latent_head is None for m in self.members):
            raise InputError(f"{name}: a model without long range has no charges on which a field could act")
        return found

    def __call__(
        self,
        structures: Sequence[Structure],
        stress: bool = True,
        energies: bool = False,
        properties: Sequence[str] = (),
    ) -> list[dict[str, np.ndarray]]:
        """What the model gives for each structure, in double precision.

        Parameters
        ----------
        structures : evaluated as one batch.
        stress, energies : whether stress, of what is periodic and has a volume, and energies of atoms are wanted.
        properties : further ones, of sognet.model.response.RESPONSES.

        Returns
        -------
        For each structure `energy`, `energy_short_range`, `energy_long_range` (), `forces` (N,3), `latent` (N,P), of a
        committee those of the members side by side, `stress` (3,3), zero along open directions, `energies` (N,), and of
        a committee `energy_uncertainty` (), `forces_uncertainty` (N,). eV, eV/Å, eV/Å³.
        """
        stress = stress and any(s.has_stress for s in structures)
        batches = {c: self._batch(structures, c) for c in {m.cutoff for m in self.members}}
        self._share_baselines(batches)
        wanted = self._wanted(stress, energies, properties)
        outputs = [_numpy(m(batches[m.cutoff], **wanted)) for m in self.members]
        bounds = np.cumsum([0, *map(len, structures)])
        return [
            self._combined([self._part(out, i, start, stop) for out in outputs], structures[i])
            for i, (start, stop) in enumerate(pairwise(bounds))
        ]

    def step(
        self, structure: Structure, stress: bool = False, energies: bool = False, properties: Sequence[str] = ()
    ) -> dict[str, np.ndarray]:
        """The same for one structure, which is mostly that of the call before a step later: see MovingStructure."""
        wanted = self._wanted(stress and structure.has_stress, energies, properties)
        graphs = {c: self.moving.graph(structure, c) for c in {m.cutoff for m in self.members}}
        self._share_baselines(graphs)
        outputs = []
        for number, member in enumerate(self.members):
            graph = graphs[member.cutoff]
            out = _numpy(member(graph, plan=self.moving.plan(number, member, graph), **wanted))
            outputs.append(self._part(out, 0, 0, len(structure)))
        return self._combined(outputs, structure)

    def features(self, structures: Sequence[Structure]) -> list[np.ndarray]:
        """Short-range features (N, n_features) of each structure, of the first member."""
        member = self.members[0]
        batch = build_batch(structures, member.cutoff).to(self.device)
        found = member.features(batch).detach().cpu().double().numpy()
        return np.split(found, np.cumsum([len(s) for s in structures])[:-1])

    def ase_results(self, found: Mapping[str, np.ndarray], structure: Structure) -> dict[str, Any]:
        """What ASE has a name for among what a call gives for one structure.

        `energy`, `free_energy`, `forces`, `stress` in Voigt's order, `energies`; where asked for
        `born_effective_charges` (N,3,3) in e; where asked for, or where a model has one latent variable per atom, its
        charge (e), `charges` (N,), and without periodicity `dipole` (3,) in e·Å about the origin of the positions. The
        energy is even in the charges: their sign is the model's, of a committee that of its first member.
        """
        energy = float(found["energy"])
        results = {"energy": energy, "free_energy": energy, "forces": found["forces"]}
        if "stress" in found:
            results["stress"] = full_3x3_to_voigt_6_stress(found["stress"])
        if "energies" in found:
            results["energies"] = found["energies"]
        if "born_effective_charges" in found:
            results["born_effective_charges"] = found["born_effective_charges"]
        if self.has_charges or "charges" in found:
            results["charges"] = found["charges"] if "charges" in found else found["latent"][:, 0]
        if not structure.pbc.any() and (self.has_charges or "dipole" in found):
            results["dipole"] = found["dipole"] if "dipole" in found else results["charges"] @ structure.positions
        return results

    @staticmethod
    def other_results(found: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """What ASE has no name for among what a call gives for one structure."""
        named = ("energy", "forces", "stress", "energies", "charges", "dipole", "born_effective_charges")
        return {name: value if np.ndim(value) else float(value) for name, value in found.items() if name not in named}

    @staticmethod
    def _wanted(stress: bool, energies: bool, properties: Sequence[str]) -> dict[str, Any]:
        """Arguments of a model; `properties`, which one of one's own may not know, only where there are any."""
        further = {"properties": tuple(properties)} if properties else {}
        return {"stress": stress, "energies": energies, **further}

    def _share_baselines(self, graphs: Mapping[float, Data]) -> None:
        """Evaluate what members have in common once: baselines of one identity in graphs of one cutoff, in place."""
        if len(self.members) == 1:
            return
        for member in self.members:
            bring_baseline(member.baseline, graphs[member.cutoff], member.cutoff)

    def _batch(self, structures: Sequence[Structure], cutoff: float) -> Batch:
        batch = build_batch(structures, cutoff)
        fields = [s.info.get("field") for s in structures]
        if any(field is not None for field in fields):
            batch.field = torch.from_numpy(np.stack([np.zeros(3) if field is None else field for field in fields]))
        return batch.to(self.device)

    @staticmethod
    def _part(out: Mapping[str, np.ndarray], i: int, start: int, stop: int) -> dict[str, np.ndarray]:
        return {name: value[start:stop] if name in PER_ATOM else value[i] for name, value in out.items()}

    @staticmethod
    def _combined(members: list[dict[str, np.ndarray]], structure: Structure) -> dict[str, np.ndarray]:
        signs = charge_signs([m["latent"] for m in members])
        if "energy_field" in members[0] and min(signs) < 0:
            raise InputError(
                f"{structure.source}: the charges of the members of the committee have opposite signs, which their "
                "energies do not tell, and a field moves them in opposite directions; name one checkpoint"
            )
        every = {
            name: np.stack([m[name] * (s if name in RESPONSES else 1) for m, s in zip(members, signs, strict=True)])
            for name in members[0]
            if name != "latent" and all(name in m for m in members)
        }
        result = {name: values.mean(0) for name, values in every.items()}
        result["latent"] = np.hstack([m["latent"] for m in members])
        if not structure.has_stress:
            result.pop("stress", None)
        if len(members) > 1:
            result["energy_uncertainty"] = np.asarray(energy_uncertainty(every["energy"]))
            result["forces_uncertainty"] = forces_uncertainty(every["forces"])
        bad = [name for name in ("energy", "forces") if not np.isfinite(result[name]).all()]
        if bad:
            raise InputError(f"{structure.source}: the model gives {' and '.join(bad)} that are not finite")
        return result


def _numpy(out: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: value.detach().cpu().double().numpy() for name, value in out.items()}
