"""A calculator of ASE as a baseline: tight binding, dispersion or anything else that is no network."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols
from ase.stress import voigt_6_to_full_3x3_stress
from torch import Tensor, nn
from torch_geometric.data import Data

from sognet.data.labelling.calculators import KNOWN, CalculatorSettings
from sognet.data.labelling.results import single_point
from sognet.data.structure import Structure
from sognet.errors import InputError
from sognet.model.baseline import identity_of
from sognet.periodicity import has_stress
from sognet.short_range.packages import release


class CalculatorBaseline(nn.Module):
    """Energies, forces and stresses of a calculator, one structure after the other, on the CPU.

    A checkpoint may be a stranger's, and some calculators run programs, so only those of KNOWN are made; a subclass
    with a `make` of its own takes any other, `model.baseline._target_=mine.Dispersion trust=[mine]`.

    Parameters
    ----------
    calculator : import path of a class.
    arguments : of it, plain values.
    package : release of its package with which the model was trained; that it is another one now is logged.

    Raises
    ------
    InputError : a calculator that is not known, or arguments that it does not have.
    """

    cutoff = 1.0
    """Å; it sees no edges."""

    def __init__(self, calculator: str, arguments: Mapping[str, Any] | None = None, package: str | None = None) -> None:
        super().__init__()
        self.calculator, self.arguments = calculator, dict(arguments or {})
        self.settings = CalculatorSettings(calculator, self.arguments)
        if type(self).make is CalculatorBaseline.make and calculator not in KNOWN:
            raise InputError(
                f"the baseline {calculator} is none of {', '.join(KNOWN)}; take a class of your own, derived from "
                "sognet.model.calculator_baseline.CalculatorBaseline, whose make(charge) gives the calculator"
            )
        known, module = KNOWN.get(calculator), calculator.partition(".")[0]
        self.package = (
            release(module, module, *known.extra[1:], written_with=package) if known and known.extra else None
        )
        every = range(1, len(chemical_symbols))
        self.species = [chemical_symbols[z] for z in sorted((known and known.elements) or every)]
        self.check([])

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return torch.device("cpu")

    @property
    def identity(self) -> str:
        """Hash of the calculator and its arguments."""
        kind = type(self).__qualname__
        return identity_of(self, {"class": kind, "of": self.calculator, "with": self.arguments, "by": self.package})

    def make(self, charge: float) -> Any:
        """A calculator for a structure of a total charge (e)."""
        return self.settings.make(charge)

    def check(self, structures: Sequence[Structure]) -> None:
        """Raise an InputError, by file and frame, where the calculator cannot compute a structure."""
        if self.calculator in KNOWN:
            charges, sources = [s.charge for s in structures], [s.source for s in structures]
            self.settings.check([s.to_atoms() for s in structures], charges, sources)

    def forward(
        self, graph: Data, forces: bool = True, stress: bool = True, energies: bool = False
    ) -> dict[str, Tensor]:
        """The same as of a SOGNet: energy (B,), forces (N,3), stress (B,3,3), and equal `energies` (N,) of the atoms.

        Raises
        ------
        InputError : the calculator fails, or gives no stress of a structure that has one.
        """
        batch = graph.batch if "batch" in graph else torch.zeros_like(graph.z)
        sizes = batch.bincount(minlength=len(graph.cell)).tolist()
        values = (graph[name].detach().cpu().double().split(sizes) for name in ("z", "pos"))
        structures = zip(*values, graph.cell.cpu(), graph.pbc.cpu(), graph.charge.tolist(), strict=True)
        found = [self._results(*one) for one in structures]
        energy = torch.tensor([float(one["energy"]) for one in found], dtype=torch.float64)
        out = {"energy": energy, "forces": torch.cat([torch.from_numpy(one["forces"]) for one in found])}
        out["stress"] = torch.stack([torch.from_numpy(one["stress"]) for one in found])
        if energies:
            out["energies"] = (energy / torch.tensor(sizes)).repeat_interleave(torch.tensor(sizes))
        return {name: value.to(graph.pos.device) for name, value in out.items()}

    def _results(self, z: Tensor, pos: Tensor, cell: Tensor, pbc: Tensor, charge: float) -> dict[str, np.ndarray]:
        atoms = Atoms(z.int().numpy(), positions=pos.numpy(), cell=cell.detach().double().numpy(), pbc=pbc.numpy())
        try:
            results = {name: np.array(value) for name, value in single_point(self.make(charge), atoms).items()}
        except Exception as error:  # of many programs
            raise InputError(f"the baseline {self.calculator} fails for {atoms.symbols} ({error})") from error
        if not has_stress(atoms.cell.array, atoms.pbc):
            results["stress"] = np.zeros((3, 3))
        elif "stress" not in results:
            raise InputError(f"the baseline {self.calculator} gives no stress of {atoms.symbols}, which is periodic")
        elif results["stress"].shape == (6,):
            results["stress"] = voigt_6_to_full_3x3_stress(results["stress"])
        return results
