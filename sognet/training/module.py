"""The LightningModule: a model, its loss and its optimizer."""

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch_geometric.data import Data

from sognet.errors import InputError
from sognet.model import SOGNet, regularization
from sognet.model.checkpoint import model_entry
from sognet.model.response import RESPONSES, responds
from sognet.targets import TARGETS
from sognet.training.epoch_means import EpochMeans
from sognet.training.gradient_limit import GradientLimit
from sognet.training.learning_rates import (
    add_warm_up,
    change_settings,
    schedules,
    settings_of,
    warm_up_factor,
)
from sognet.training.loss import PotentialLoss
from sognet.training.metrics import PotentialErrors, known_errors

TOLD = ("forces", "energy")
"""Targets whose errors of a batch people see while they wait."""


class PotentialModule(lightning.LightningModule):
    """Training of a potential on energies, forces and stress.

    Parameters
    ----------
    model : the potential.
    loss : weights of the targets, in validation and after any stages of its own.
    optimizer : parameters -> optimizer.
    scheduler : optimizer -> learning-rate schedule; None for a constant rate. Lengths that its arguments leave None are
        those of the training.
    scheduler_interval : "epoch" or "step": when the schedule goes on (ReduceLROnPlateau: every validation); None: step
        for a schedule over the whole training and where the trainer's max_steps bounds it, else epoch.
    kernel_lr_factor : learning rate of the long-range kernel's weights and bandwidths over that of the rest.
    latent_lr_factor : learning rate of the latent-variable network over that of the rest. The long-range energy is of
        second order in latents that start near zero, so that they learn late, from what the short-range part leaves.
    kernel_weight_decay : decay of the kernel's weights towards zero and of its bandwidths towards their start, for
        optimizers with weight decay: what the short-range part describes as well is then left to it. It fades as the
        learning rate falls to half of its start, so that in the end nothing but the loss decides.
    warmup_steps : optimizer steps over which the learning rate rises linearly to that of the schedule: the first
        steps of Adam have the size of the learning rate whatever the gradients.
    gradient_limit : times the median norm of the last hundred gradients, to which a longer one is shortened; None: none
        is. L-BFGS, whose line search needs the gradient as it is, has none.
    """

    def __init__(
        self,
        model: SOGNet,
        loss: PotentialLoss,
        optimizer: Callable[[Iterable], Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        kernel_lr_factor: float = 1.0,
        kernel_weight_decay: float = 0.0,
        warmup_steps: int = 0,
        latent_lr_factor: float = 1.0,
        scheduler_interval: str | None = None,
        gradient_limit: float | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self.training_loss = loss.at(0)
        self.make_optimizer = optimizer
        self.make_scheduler = scheduler
        self.kernel_lr_factor = kernel_lr_factor
        self.latent_lr_factor = latent_lr_factor
        self.kernel_weight_decay = kernel_weight_decay
        self.warmup_steps = warmup_steps
        self.scheduler_interval = scheduler_interval
        self.gradient_limit = None if gradient_limit is None else GradientLimit(gradient_limit)
        self.errors = PotentialErrors()
        self.split_identities: dict[str, Tensor] = {}  # which structures are in which split; see data.split_identity
        self.terms = EpochMeans()  # of the loss, over the batches of an epoch
        self.means: dict[str, Tensor] | None = None  # of them at the end of an epoch
        self.last_batch: tuple[dict[str, Tensor], Data] | None = None  # output of the model, and its graphs
        self.counted_batch = -1
        self.asked_for: list[dict[str, Any]] = []
        self.saved_asked_for: list[dict[str, Any]] = []  # by the run that this one continues
        self.started = self.seconds = 0.0
        self.earlier_seconds = 0.0  # of training before this run was resumed

    def forward(self, batch: Data) -> dict[str, Tensor]:
        """Output of the model, with what the loss needs."""
        stress = self.loss.uses("stress")
        properties = [name for name in RESPONSES if name in TARGETS and self.loss.uses(name)]
        further = {"properties": properties} if properties and responds(self.model) else {}
        return self.model(batch, forces=stress or self.loss.uses("forces"), stress=stress, **further)

    def training_step(self, batch: Data, batch_idx: int) -> Tensor:
        """Loss of a batch with its weight in the step."""
        out = self(batch)
        terms = self.training_loss(out, batch, regularization(self.model) if self.training_loss.regularizes else {})
        weighted = terms["loss"] * batch.weight.to(terms["loss"].dtype).squeeze()
        if batch_idx != self.counted_batch:  # a line search evaluates a batch several times
            self.counted_batch = batch_idx
            self.terms.add(terms, batch.num_graphs)
            self.last_batch = {name: out[name].detach() for name in TOLD if name in out}, batch
        return weighted

    def batch_errors(self) -> dict[str, float]:
        """Errors of the last training batch that people read while they wait, by symbol and unit."""
        if self.last_batch is None:
            return {}
        out, batch = self.last_batch
        everything = torch.ones(batch.num_graphs, dtype=torch.bool, device=batch.batch.device)
        errors = {}
        for target in (TARGETS[name] for name in TOLD if self.loss.uses(name)):
            found = known_errors(target, out, batch, everything)
            if found is not None and len(found[0]):
                errors[f"{target.symbol} {target.unit}"] = target.scale * found[0].square().mean().sqrt().item()
        return errors

    def training_means(self) -> dict[str, Tensor]:
        """Mean terms of the loss over an epoch that ends, the same on all ranks, which ask together."""
        if self.means is None:
            self.means = self.terms.compute(partial(self.trainer.strategy.reduce, reduce_op="sum"))
        return self.means

    def on_fit_start(self) -> None:
        """Start the clock; refuse a model that a checkpoint could not describe."""
        model_entry(self.model)
        self.started = time.perf_counter() - self.seconds

    def on_train_epoch_end(self) -> None:
        """Log the terms of the loss, the time since the start, for learning curves, and the learning rates, as `lr` and
        `lr/<part>`.

        Lightning's LearningRateMonitor names them after the optimizer's class and adds rows of its own to metrics.csv.
        """
        self.seconds = time.perf_counter() - self.started
        rates = {"/".join(filter(None, ("lr", g.get("part")))): g["lr"] for g in self.optimizers().param_groups}
        terms = {f"train/{name}": mean for name, mean in self.training_means().items()}
        self.log_dict({**terms, "seconds": self.seconds, **rates})

    def on_train_start(self) -> None:
        """Weights of the loss, and settings of the optimizer, where a run is resumed."""
        self.training_loss = self.loss.at(self.current_epoch)
        if self.saved_asked_for:
            schedulers = [configured.scheduler for configured in self.trainer.lr_scheduler_configs]
            change_settings(self.optimizers(use_pl_optimizer=False), schedulers, self.saved_asked_for, self.asked_for)

    def on_train_epoch_start(self) -> None:
        """Weights of the loss at this epoch; the kernel's weight decay fades with the learning rate."""
        self.counted_batch, self.terms, self.means = -1, EpochMeans(), None
        self.training_loss = self.loss.at(self.current_epoch)
        for group in self.optimizers().param_groups if self.kernel_weight_decay > 0 else ():
            if group.get("part") == "kernel":
                rate = group["lr"] / group.get("initial_lr", group["lr"])
                if self.warmup_steps > 1:
                    rate /= warm_up_factor(self.trainer.global_step, self.warmup_steps)
                group["weight_decay"] = self.kernel_weight_decay * max(0.0, 2 * rate - 1)

    def on_validation_epoch_start(self) -> None:
        """Where errors count linearly."""
        self.errors.limits = self.loss.limits()

    def validation_step(self, batch: Data, batch_idx: int) -> dict[str, Tensor]:
        """Add a batch to the validation errors; returns the model's output, for callbacks."""
        out = {name: value.detach() for name, value in self(batch).items()}
        self.errors.update(out, batch)
        return out

    def on_validation_epoch_end(self) -> None:
        """Log the errors of the whole validation split, and from them the loss of the targets that it has."""
        errors = self.errors.compute()
        self.errors.reset()
        errors["loss"] = sum(
            self.loss.physical_weight(name) * errors.pop(f"{t.label}_huber", (errors[f"{t.label}_rmse"] / t.scale) ** 2)
            for name, t in TARGETS.items()
            if self.loss.weight(name) > 0 and f"{t.label}_rmse" in errors
        )
        errors = {name: value for name, value in errors.items() if not name.endswith("_huber")}
        self.log_dict({f"val/{k}": v for k, v in errors.items()}, rank_zero_only=False, sync_dist=False)
        for schedule in (configured.scheduler for configured in self.trainer.lr_scheduler_configs):
            if isinstance(schedule, ReduceLROnPlateau) and not self.trainer.sanity_checking:
                schedule.step(errors["loss"])
        if "force_rmse" in errors:
            self.log("val F", errors["force_rmse"], prog_bar=True, logger=False)

    def configure_optimizers(self) -> Any:
        """Optimizer with learning rates of their own for the kernel and the latents where asked, and the schedules."""
        groups = self._parameter_groups()
        try:
            optimizer = self.make_optimizer(groups)
        except ValueError as error:
            raise InputError(
                f"optimizer: {error}; module.kernel_lr_factor, latent_lr_factor and kernel_weight_decay need one with "
                "parameter groups: set them to 1, 1 and 0"
            ) from None
        for group in optimizer.param_groups:
            if group.get("part") == "kernel":
                group["lr"] *= self.kernel_lr_factor
                group["weight_decay"] = self.kernel_weight_decay
            elif group.get("part") == "latents":
                group["lr"] *= self.latent_lr_factor
        self.asked_for = settings_of(optimizer)
        if self.make_scheduler is None and self.warmup_steps < 2:
            return {"optimizer": optimizer}
        found = schedules(optimizer, self.make_scheduler, self.scheduler_interval, self.warmup_steps, self.trainer)
        return [optimizer], found

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Shorten gradients by their usual size, then by the trainer's settings."""
        if self.gradient_limit is not None and not isinstance(optimizer, torch.optim.LBFGS):
            self.gradient_limit(self.parameters())
        self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the description from which load_model rebuilds the model, and the time that training has taken."""
        checkpoint["sognet"] = model_entry(self.model)
        checkpoint["seconds"] = self.seconds
        checkpoint["optimizer_settings"] = self.asked_for
        checkpoint["loss_scales"] = dict(self.loss.scales)
        checkpoint["split_identities"] = self.split_identities
        if self.gradient_limit is not None:
            checkpoint["gradient_norms"] = self.gradient_limit.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take over the time that training has taken."""
        self.seconds = self.earlier_seconds = checkpoint["seconds"]
        self.saved_asked_for = checkpoint.get("optimizer_settings", [])
        self.loss.scales.update(checkpoint.get("loss_scales", {}))
        if self.gradient_limit is not None and "gradient_norms" in checkpoint:
            self.gradient_limit.load(checkpoint["gradient_norms"])
        states = checkpoint["lr_schedulers"]
        in_schedule = any("warmup_steps" in state for state in states)
        if self.warmup_steps > 1 and not in_schedule and len(states) == int(self.make_scheduler is not None):
            add_warm_up(checkpoint, self.warmup_steps)

    def _parameter_groups(self) -> list[Parameter] | list[dict[str, Any]]:
        trained = [p for p in self.model.parameters() if p.requires_grad]
        apart = {}
        if self.kernel_lr_factor != 1.0 or self.kernel_weight_decay != 0.0:
            apart["kernel"] = self.model.long_range
        if self.latent_lr_factor != 1.0:
            apart["latents"] = self.model.latent_head
        part_of = {id(p): part for part, module in apart.items() if module is not None for p in module.parameters()}
        if not part_of:
            return trained
        groups = [
            {"params": [p for p in trained if part_of.get(id(p)) == part], "part": part} for part in (None, *apart)
        ]
        return [group for group in groups if group["params"]]
