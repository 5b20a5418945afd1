"""Loss of energies, forces and stress."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

WEIGHTS = ("energy", "forces", "stress", "neutrality", "kernel")


class PotentialLoss(nn.Module):
    """w_E (ΔE/N)² + w_F |ΔF|²/3N + w_S |Δσ|²/9 + λ (Q − Σ q)², averaged over the structures of a batch.

    Each term is a mean within its structure, so that the loss of a batch is the mean of its structures' losses
    however they are shared out over ranks or accumulated.

    Parameters
    ----------
    energy : w_E, of the energy per atom, 1/eV².
    forces : w_F, 1/(eV/Å)².
    stress : w_S, 1/(eV/Å³)²; 0: the stress is not computed.
    neutrality : λ, 1/e², for P = 1: that latent variables add up to the structure's total charge.
    kernel : of the mean squared change of the kernel's parameters since the start, dimensionless: few data do not say
        how an interaction goes on beyond the distances that they hold, and this keeps it on its power law.
    regularization : weights by name of other terms that the long-range layer adds (`regularization()` of a layer of
        one's own).
    stages : weights that are others at first, [{"epochs": 200, "energy": 1.0}, ...]; those above follow, and are
        those of validation throughout.

    Raises
    ------
    ValueError : a stage without `epochs`, or with what is not a weight.
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
    ) -> None:
        super().__init__()
        self.energy = energy
        self.forces = forces
        self.stress = stress
        self.neutrality = neutrality
        self.kernel = kernel
        self.regularization = dict(regularization or {})
        self.stages = [dict(stage) for stage in stages]
        for stage in self.stages:
            if "epochs" not in stage or set(stage) - {"epochs", *WEIGHTS}:
                raise ValueError(f"loss.stages: {stage} must have epochs, and of {', '.join(WEIGHTS)} what differs")

    def at(self, epoch: int) -> "PotentialLoss":
        """The loss of an epoch."""
        weights = {name: getattr(self, name) for name in (*WEIGHTS, "regularization")}
        for stage in self.stages:
            if epoch < stage["epochs"]:
                return PotentialLoss(**weights | {k: v for k, v in stage.items() if k != "epochs"})
            epoch -= stage["epochs"]
        return PotentialLoss(**weights)

    def uses(self, target: str) -> bool:
        """Whether a target has weight in any stage."""
        return any(weights.get(target, 0.0) > 0 for weights in (vars(self), *self.stages))

    @property
    def regularizes(self) -> bool:
        """Whether a term of the long-range layer has weight."""
        return any(weight > 0 for weight in (self.kernel, *self.regularization.values()))

    def forward(
        self, out: dict[str, Tensor], batch: Data, regularization: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Weighted terms by name and their sum as `loss`, from a model's output, the batch it was computed for and the
        terms of the model's long-range layer.
        """
        terms: dict[str, Tensor] = {}
        dtype = out["energy_short_range"].dtype
        n_atoms = torch.bincount(batch.batch, minlength=batch.num_graphs).to(dtype)
        if self.energy > 0:
            error = (out["energy"] - batch.energy).to(dtype) / n_atoms
            terms["energy"] = self.energy * error.square().mean()
        if self.forces > 0:
            squared = (out["forces"] - batch.forces.to(dtype)).square().mean(1)
            terms["forces"] = self.forces * (_sum_per_structure(squared, batch) / n_atoms).mean()
        if self.stress > 0:
            terms["stress"] = self.stress * (out["stress"] - batch.stress.to(dtype)).square().mean()
        if self.neutrality > 0 and out["latent"].shape[1] == 1:
            net = _sum_per_structure(out["latent"][:, 0], batch)
            terms["neutrality"] = self.neutrality * (batch.charge.to(dtype) - net).square().mean()
        weights = {"kernel": self.kernel} | self.regularization
        for name, value in (regularization or {}).items():
            if weights.get(name, 0.0) > 0:
                terms[name] = weights[name] * value.to(dtype)
        terms["loss"] = torch.stack(list(terms.values())).sum()
        return terms


def _sum_per_structure(values: Tensor, batch: Data) -> Tensor:
    return values.new_zeros(batch.num_graphs).index_add(0, batch.batch, values)
