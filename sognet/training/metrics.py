"""Errors of the targets (sognet.targets) over a data set, each structure counted once on however many ranks."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data
from torchmetrics import Metric

from sognet.targets import TARGETS, Target
from sognet.training.loss import huber

MILLI = 1000.0
SUMS = ("squared", "absolute", "count", "huber")


class PotentialErrors(Metric):
    """RMSE and MAE of the targets, `energy_rmse` in meV/atom and so on, over the values that are there.

    A collection of torchmetrics' MeanSquaredError and MeanAbsoluteError warns of targets that nothing has, and sums in
    single precision unless each is told otherwise.

    Attributes
    ----------
    limits : by target, where the loss counts errors linearly beyond (PotentialLoss.limits); the mean of Huber's
        function, `energy_huber` in the square of the target's unit, is found as well.
    """

    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        self.limits: dict[str, float] = {}
        for target in TARGETS.values():
            for sum_of in SUMS:
                self.add_state(f"{target.name}_{sum_of}", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, out: dict[str, Tensor], batch: Data) -> None:
        """Add the structures of a batch that are marked as counted and have the reference value."""
        counted = batch.counted if "counted" in batch else torch.ones_like(batch.charge, dtype=torch.bool)
        for target in TARGETS.values():
            if (found := known_errors(target, out, batch, counted)) is not None:
                self._add(target.name, found[0])

    def compute(self) -> dict[str, float]:
        """Errors by name, `energy_rmse` and so on; of the targets that were seen."""
        errors = {}
        for name, target in TARGETS.items():
            count = getattr(self, f"{name}_count")
            if count > 0:
                rmse = (getattr(self, f"{name}_squared") / count).sqrt().item()
                errors[f"{target.label}_rmse"] = target.scale * rmse
                errors[f"{target.label}_mae"] = target.scale * (getattr(self, f"{name}_absolute") / count).item()
                if name in self.limits:
                    errors[f"{target.label}_huber"] = (getattr(self, f"{name}_huber") / count).item()
        return errors

    def _add(self, target: str, error: Tensor) -> None:
        error = error.detach().double()
        for sum_of, value in (
            ("squared", error.square()),
            ("absolute", error.abs()),
            ("count", torch.ones_like(error)),
            ("huber", self._huber(target, error)),
        ):
            name = f"{target}_{sum_of}"
            setattr(self, name, getattr(self, name) + value.sum())

    def _huber(self, target: str, error: Tensor) -> Tensor:
        """Huber's function of each value, for each of its components."""
        if target not in self.limits or error.numel() == 0:
            return torch.zeros_like(error)
        squared = error.square().reshape(len(error), -1)
        return huber(squared.mean(1, keepdim=True), self.limits[target]).expand_as(squared)


def known_errors(
    target: Target, out: dict[str, Tensor], batch: Data, counted: Tensor
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Errors (n, *shape) of the values of a batch that are there, in the unit of the value and double precision, the
    structures that they belong to (n,), and which of the batch's values they are (n,); None where batch or output lack
    the target.

    Parameters
    ----------
    target : row of the table.
    out : output of a model for the batch.
    batch : graphs with reference values.
    counted : (B,) bool, which structures are wanted.
    """
    if target.name not in batch or target.name not in out:
        return None
    owner = batch.batch if target.per_atom else torch.arange(batch.num_graphs, device=batch.batch.device)
    reference = batch[target.name]
    chosen = (counted[owner] & target.known(reference)).nonzero()[:, 0]
    n_atoms = torch.bincount(batch.batch, minlength=batch.num_graphs)[owner[chosen]]
    difference = out[target.name][chosen].detach().double() - reference[chosen]
    return target.normalized(difference, n_atoms), owner[chosen], chosen


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
