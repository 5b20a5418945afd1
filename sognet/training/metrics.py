"""Errors of energies, forces and stress over a data set, each structure counted once on however many ranks."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data
from torchmetrics import Metric

MILLI = 1000.0
TARGETS = ("energy", "force", "stress")


class PotentialErrors(Metric):
    """RMSE and MAE of the energy per atom (meV/atom), of force components (meV/Å) and of the stress (meV/Å³)."""

    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        for target in TARGETS:
            for sum_of in ("squared", "absolute", "count"):
                self.add_state(f"{target}_{sum_of}", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, out: dict[str, Tensor], batch: Data) -> None:
        """Add the structures of a batch that are marked as counted and have the reference value."""
        counted = batch.counted if "counted" in batch else torch.ones_like(batch.charge, dtype=torch.bool)
        n_atoms = torch.bincount(batch.batch, minlength=batch.num_graphs)
        if "energy" in batch:
            self._add("energy", ((out["energy"] - batch.energy) / n_atoms)[counted])
        if "forces" in batch and "forces" in out:
            self._add("force", (out["forces"].double() - batch.forces)[counted[batch.batch]])
        if "stress" in batch and "stress" in out:
            self._add("stress", (out["stress"].double() - batch.stress)[counted & batch.pbc.all(1)])

    def compute(self) -> dict[str, float]:
        """Errors by name, `energy_rmse` and so on; of the targets that were seen."""
        errors = {}
        for target in TARGETS:
            count = getattr(self, f"{target}_count")
            if count > 0:
                errors[f"{target}_rmse"] = MILLI * (getattr(self, f"{target}_squared") / count).sqrt().item()
                errors[f"{target}_mae"] = MILLI * (getattr(self, f"{target}_absolute") / count).item()
        return errors

    def _add(self, target: str, error: Tensor) -> None:
        error = error.detach().double()
        for sum_of, value in (
            ("squared", error.square()),
            ("absolute", error.abs()),
            ("count", torch.ones_like(error)),
        ):
            name = f"{target}_{sum_of}"
            setattr(self, name, getattr(self, name) + value.sum())


class GroupedErrors(Metric):
    """RMS and mean absolute of values that fall into groups, times 1000: errors in meV of elements, for instance.

    Parameters
    ----------
    groups : names.
    """

    full_state_update = False

    def __init__(self, groups: Sequence[str]) -> None:
        super().__init__()
        self.groups = list(groups)
        for sum_of in ("squared", "absolute", "count"):
            self.add_state(sum_of, torch.zeros(len(self.groups), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, values: Tensor, group: Tensor) -> None:
        """Add values (n, ...), of groups (n,) by number."""
        if len(values) == 0:
            return
        values = values.detach().double().reshape(len(values), -1)
        self.squared = self.squared.index_add(0, group, values.square().sum(1))
        self.absolute = self.absolute.index_add(0, group, values.abs().sum(1))
        self.count = self.count.index_add(0, group, torch.full_like(values[:, 0], values.shape[1]))

    def compute(self) -> dict[str, tuple[float, float]]:
        """RMS and mean absolute by name, of groups that have values."""
        seen = self.count > 0
        rms = MILLI * (self.squared[seen] / self.count[seen]).sqrt()
        absolute = MILLI * self.absolute[seen] / self.count[seen]
        names = [name for name, has_values in zip(self.groups, seen.tolist(), strict=True) if has_values]
        return dict(zip(names, zip(rms.tolist(), absolute.tolist(), strict=True), strict=True))
