"""Loss of the targets of the table (sognet.targets), of which structures may lack some."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from sognet.errors import InputError
from sognet.targets import OF_CHARGES, TARGETS, Target, add_targets, further_targets

WEIGHTS = ("energy", "forces", "stress", "neutrality", "kernel")
"""Names of the weights; those of further targets have the targets' names."""

SETTINGS = ("dimensionless", "huber_delta")


class PotentialLoss(nn.Module):
    """w_E (ΔE/N)² + w_F |ΔF|²/3N + w_S |Δσ|²/9 + λ (Q − Σ q)², averaged over the structures of a batch.

    Each term is a mean within its structure, so that the loss of a batch is the mean of its structures' losses
    however they are shared out over ranks or accumulated. A structure that lacks a value has no part in its term, which
    is the mean over the others: divided by `labelled`, the part of the training structures that have the value, or by
    the part of the batch's where that is not set.

    Parameters
    ----------
    energy : w_E, of the energy per atom, 1/eV²; dimensionless with `dimensionless`.
    forces : w_F, 1/(eV/Å)², likewise.
    stress : w_S, 1/(eV/Å³)², likewise; 0: the stress is not computed.
    neutrality : λ, 1/e²: that latent variables add up to the structure's total charge in the first channel and to zero
        in the others.
    kernel : of the mean squared change of the kernel's parameters since the start, dimensionless. Regularizes the
        kernel towards its initial form, which small data sets leave undetermined at long range.
    regularization : weights by name of other terms that the long-range layer adds (`regularization()` of a layer of
        one's own).
    dimensionless : errors count in units of the spread of the training labels, `scales` (sognet.data.label_spread), so
        that the same weights do for any data.
    huber_delta : errors beyond this, in units of the same spread, count linearly and no longer squared (Huber): the
        pull of an energy, of the force on an atom or of a stress has a bound however wrong its label is. The squared
        error below it is the same as without. None: all errors are squared.
    targets : weights by name of further targets of the table.
    stages : weights that are others at first, [{"epochs": 200, "energy": 1.0}, ...]; those above follow, and are
        those of validation throughout.

    Raises
    ------
    ValueError : a stage without `epochs`, or with what is not a weight, or a limit that is not positive.
    InputError : a weight of a target that the table lacks.
    """

    def __init__(
        self,
        energy: float,
        forces: float,
        stress: float = 0.0,
        neutrality: float = 0.0,
        kernel: float = 0.0,
        stages: Sequence[Mapping[str, float]] = (),
        regularization: Mapping[str, float] | None = None,
        dimensionless: bool = False,
        huber_delta: float | None = None,
        targets: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.energy = energy
        self.forces = forces
        self.stress = stress
        self.neutrality = neutrality
        self.kernel = kernel
        self.regularization = dict(regularization or {})
        add_targets(targets or ())
        known = [target.name for target in further_targets()]
        if unknown := sorted(set(targets or {}) - set(known)):
            raise InputError(
                f"loss.targets.{unknown[0]}: no such row in the table of targets; it has "
                f"{', '.join(dict.fromkeys([*known, *OF_CHARGES]))} beside energy, forces and stress"
            )
        self.further = dict.fromkeys(known, 0.0) | dict(targets or {})
        if huber_delta is not None and not huber_delta > 0:
            raise ValueError(f"loss.huber_delta must be positive or null, got {huber_delta}")
        self.dimensionless = dimensionless
        self.huber_delta = huber_delta
        self.labelled: dict[str, float] = {}
        self.scales: dict[str, float] = {}
        self.stages = [dict(stage) for stage in stages]
        for stage in self.stages:
            if "epochs" not in stage or set(stage) - {"epochs", *WEIGHTS, *self.further}:
                raise ValueError(f"loss.stages: {stage} must have epochs, and of {', '.join(WEIGHTS)} what differs")

    def at(self, epoch: int) -> "PotentialLoss":
        """The loss of an epoch."""
        weights = {name: getattr(self, name) for name in (*WEIGHTS, "regularization", *SETTINGS)}
        further = dict(self.further)
        for stage in self.stages:
            if epoch < stage["epochs"]:
                weights |= {k: v for k, v in stage.items() if k in WEIGHTS}
                further |= {k: v for k, v in stage.items() if k in further}
                break
            epoch -= stage["epochs"]
        loss = PotentialLoss(**weights, targets=further)
        loss.labelled, loss.scales = self.labelled, self.scales
        return loss

    def weight(self, target: str) -> float:
        """Weight of a target."""
        return self.further[target] if target in self.further else getattr(self, target)

    def physical_weight(self, target: str) -> float:
        """Weight of the squared error of a target in its unit."""
        return self.weight(target) / (self.scale(target) ** 2 if self.dimensionless else 1.0)

    def scale(self, target: str) -> float:
        """Spread of the training labels of a target, in its unit.

        Raises
        ------
        ValueError : it is not known.
        """
        if target not in self.scales:
            raise ValueError(f"loss: the spread of the {target} labels is not known; set `scales` (label_spreads)")
        return self.scales[target]

    @property
    def needs_scales(self) -> bool:
        """Whether the spread of the labels must be known."""
        return self.dimensionless or self.huber_delta is not None

    def limits(self) -> dict[str, float]:
        """Errors by target, in its unit, beyond which they count linearly."""
        if self.huber_delta is None:
            return {}
        return {name: self.huber_delta * self.scale(name) for name in TARGETS if self.uses(name)}

    def uses(self, target: str) -> bool:
        """Whether a target has weight in any stage."""
        return self.weight(target) > 0 or any(stage.get(target, 0.0) > 0 for stage in self.stages)

    @property
    def is_zero(self) -> bool:
        """Whether nothing has weight, so that there is nothing to minimise."""
        return not self.regularizes and not any(w > 0 for w in (*map(self.weight, TARGETS), self.neutrality))

    @property
    def regularizes(self) -> bool:
        """Whether a term of the long-range layer has weight."""
        return any(weight > 0 for weight in (self.kernel, *self.regularization.values()))

    def forward(
        self, out: dict[str, Tensor], batch: Data, regularization: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Weighted terms by name and their sum as `loss`, from a model's output, the batch it was computed for and the
        terms of the model's long-range layer. With huber_delta also the mean squares, `<label>_mse` (not weighted).
        """
        terms: dict[str, Tensor] = {}
        dtype = out["energy_short_range"].dtype
        n_atoms = _sum_per_structure(torch.ones_like(batch.batch, dtype=dtype), batch)  # bincount waits for a GPU
        limits, squares = self.limits(), {}
        for name, target in TARGETS.items():
            if self.weight(name) > 0:
                if name not in out:
                    raise InputError(
                        f"the loss gives {name} a weight, and the model has no output of that name; what charges give "
                        "needs a long range (model/long_range=none has none), other targets a model of your own"
                    )
                mean = self._mean(target, out[name], batch, n_atoms, limits.get(name))
                terms[name] = self.physical_weight(name) * mean
                if limits:
                    squares[f"{target.label}_mse"] = self._mean(target, out[name].detach(), batch, n_atoms)
        if self.neutrality > 0 and out["latent"].shape[1] > 0:
            excess = _sum_per_structure(out["latent"], batch)
            excess = torch.cat([excess[:, :1] - batch.charge.to(dtype)[:, None], excess[:, 1:]], 1)
            terms["neutrality"] = self.neutrality * excess.square().sum(1).mean()
        weights = {"kernel": self.kernel} | self.regularization
        for name, value in (regularization or {}).items():
            if weights.get(name, 0.0) > 0:
                terms[name] = weights[name] * value.to(dtype)
        terms["loss"] = torch.stack(list(terms.values())).sum()
        return terms | squares

    def _mean(
        self, target: Target, predicted: Tensor, batch: Data, n_atoms: Tensor, limit: float | None = None
    ) -> Tensor:
        """Mean square error of a target over the structures of a batch that have it; linear beyond a limit."""
        reference = batch[target.name].to(predicted.dtype)
        known = target.known(reference)
        there = known.reshape(-1, *(1,) * len(target.shape))
        difference = (predicted - torch.where(there, reference, predicted.detach())).to(n_atoms.dtype)
        sizes = n_atoms[batch.batch] if target.per_atom else n_atoms
        squared = target.normalized(difference, sizes).square().reshape(len(difference), -1).mean(1)
        if limit is not None:
            squared = huber(squared, limit)
        if target.per_atom:
            squared = _sum_per_structure(squared, batch) / n_atoms
            known = _sum_per_structure(known.to(squared.dtype), batch) > 0
        share = self.labelled.get(target.name) or known.to(squared.dtype).mean().clamp(min=1 / len(known))
        return squared.mean() / share


def huber(squared: Tensor, limit: float) -> Tensor:
    """x² up to the limit and 2·limit·|x| − limit² beyond it, from x²: Huber's function, twice."""
    beyond = 2 * limit * squared.clamp(min=limit**2).sqrt() - limit**2
    return torch.where(squared <= limit**2, squared, beyond)


def _sum_per_structure(values: Tensor, batch: Data) -> Tensor:
    return values.new_zeros(batch.num_graphs, *values.shape[1:]).index_add(0, batch.batch, values)
