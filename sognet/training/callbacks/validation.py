"""Callbacks that log what people look at while a potential is trained, to whatever loggers the run has."""

import time
from typing import Any

import lightning
import numpy as np
import torch
from ase.data import atomic_numbers
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor
from torch_geometric.data import Data

from sognet.analysis.distributions import distribution_figure, force_errors_by_element, latents_by_element
from sognet.analysis.error_groups import CONFIGURATION_TYPE
from sognet.analysis.figures import kernel_figure, parity_figure
from sognet.analysis.long_range_share import long_range_forces
from sognet.analysis.model_report import typical_boxes
from sognet.analysis.predictions import Prediction, batch_predictions
from sognet.long_range.decay import Boxes, fitted_decay, kernel_of
from sognet.model import SOGNet
from sognet.targets import TARGETS
from sognet.training.callbacks.long_range_diagnostics import LongRangeDiagnostics
from sognet.training.loggers.media import log_media, rendered, takes_media
from sognet.training.metrics import MILLI, GroupedErrors, known_errors


class TrainingErrors(lightning.Callback):
    """Logs the training errors of each epoch, `train/energy_rmse` (meV/atom), `train/force_rmse` (meV/Å) and so on.

    They come from the terms of the loss, so every structure has the same weight, and the weights change meanwhile.
    """

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Log."""
        weights, means = pl_module.training_loss, pl_module.training_means()  # weights of this epoch
        squares = {
            target: means.get(f"{target.label}_mse", means[name] / weights.physical_weight(name))
            for name, target in TARGETS.items()
            if name in means
        }
        pl_module.log_dict({f"train/{t.label}_rmse": t.scale * square.sqrt() for t, square in squares.items()})


class ErrorsByGroup(lightning.Callback):
    """Logs the validation errors of forces by element, those of energies and forces by configuration type, the RMS per
    atom of the short- and the long-range energy and how much of the interaction energy the latter is; each structure
    counts once on however many ranks.

    `val/force_rmse/<element>`, `val/<target>_rmse/config_type=<type>`, the same with mae, and
    `val/energy_short_range_rms`, `val/energy_long_range_rms`; in meV/Å and meV/atom. `val/long_range_share` is
    Σ|E_LR| / Σ|E_SR + E_LR|, that of reports: beyond 1 short and long range cancel.
    """

    def __init__(self) -> None:
        self.metrics: dict[str, GroupedErrors] = {}

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Look up which groups there are."""
        names = [str(s.info.get(CONFIGURATION_TYPE, "")) for s in trainer.datamodule.splits.val]
        types = sorted(set(names) - {""})
        species = pl_module.model.species
        self.type_of_structure = torch.tensor([types.index(n) if n in types else -1 for n in names])
        self.element = torch.full((len(atomic_numbers),), -1)
        self.element[[atomic_numbers[s] for s in species]] = torch.arange(len(species))
        typed = [f"{CONFIGURATION_TYPE}={t}" for t in types]
        has_both = pl_module.model.long_range is not None
        parts = ["short_range", "long_range"] if has_both else ["short_range"]
        self.metrics = {"parts": GroupedErrors(parts), "force_by_element": GroupedErrors(species)}
        if has_both:
            self.metrics["share"] = GroupedErrors(["long_range", "whole"])
        if typed:
            self.metrics |= {"force_by_type": GroupedErrors(typed), "energy_by_type": GroupedErrors(typed)}

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Move the sums to where the model is."""
        self.element = self.element.to(pl_module.device)
        self.type_of_structure = self.type_of_structure.to(pl_module.device)
        for metric in self.metrics.values():
            metric.to(pl_module.device).reset()

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: dict[str, Tensor],
        batch: Data,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add the errors of a batch."""
        n_atoms = torch.bincount(batch.batch, minlength=batch.num_graphs)
        kind = self.type_of_structure[batch.id]
        typed = batch.counted & (kind >= 0)
        for name in ("energy", "forces"):
            target = TARGETS[name]
            metric = self.metrics.get(f"{target.label}_by_type")
            if metric is not None and (found := known_errors(target, outputs, batch, typed)) is not None:
                metric.update(found[0], kind[found[1]])
        if (found := known_errors(TARGETS["forces"], outputs, batch, batch.counted)) is not None:
            self.metrics["force_by_element"].update(found[0], self.element[batch.z[found[2]]])
        for number, part in enumerate(self.metrics["parts"].groups):
            energy = (outputs[f"energy_{part}"] / n_atoms)[batch.counted]
            self.metrics["parts"].update(energy, torch.full_like(energy, number, dtype=torch.long))
        if "share" in self.metrics:
            long_range = outputs["energy_long_range"][batch.counted]
            whole = long_range + outputs["energy_short_range"][batch.counted]
            for number, energy in enumerate((long_range, whole)):
                self.metrics["share"].update(energy, torch.full_like(energy, number, dtype=torch.long))

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Log."""
        found = {name: metric.compute() for name, metric in self.metrics.items() if metric.update_called}
        curves = {f"val/energy_{part}_rms": rms for part, (rms, _) in found.pop("parts").items()}
        sizes = {name: size for name, (_, size) in found.pop("share", {}).items()}
        if sizes.get("whole", 0.0) > 0:
            curves["val/long_range_share"] = sizes["long_range"] / sizes["whole"]
        for name, errors in found.items():
            target = name.partition("_")[0]
            for group, (rms, absolute) in errors.items():
                curves |= {f"val/{target}_rmse/{group}": rms, f"val/{target}_mae/{group}": absolute}
        pl_module.log_dict(curves)


FIRST_DRAWING = 1.0
"""Seconds that the first drawing is expected to take."""


class Figures(lightning.Callback):
    """Draws what validation has predicted: parity, histograms of force errors and latents by element, the kernel.

    Logged are the images `figures/parity`, `figures/distributions` and `figures/kernel`, the histograms
    `force_error/<element>` and `latent/<element>` (or `latent/<element>/<channel>`), and the RMS of the short- and
    long-range parts of the forces, `val/force_short_range_rms` and `val/force_long_range_rms` (meV/Å), of the first
    batch, since a part needs a derivative of its own. On several ranks they show the structures of the first.

    Parameters
    ----------
    every_n_validations : draw at most at every n-th validation, beginning with the first.
    max_time_share : and only where all drawing stays below this share of the time since the start; a training too
        short for that is drawn once, at its end.
    """

    def __init__(self, every_n_validations: int = 10, max_time_share: float = 0.01) -> None:
        self.every_n_validations = every_n_validations
        self.max_time_share = max_time_share
        self.validations = 0
        self.started = self.spent = 0.0
        self.last_drawing = FIRST_DRAWING
        self.predictions: list[Prediction] | None = None  # None: this validation is not drawn
        self.collecting = self.drawn = False
        self.force_parts: dict[str, float] = {}

    def state_dict(self) -> dict[str, Any]:
        """Validations so far, so that a resumed run draws when the whole one would."""
        return {"validations": self.validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.validations = state_dict["validations"]

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the clock."""
        self.started, self.spent = time.perf_counter(), 0.0

    @rank_zero_only
    def on_validation_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Decide whether this validation is drawn."""
        self.collecting = self.validations % self.every_n_validations == 0 and not trainer.sanity_checking
        if self.collecting:
            self.predictions = []
        self.validations += not trainer.sanity_checking

    @rank_zero_only
    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: dict[str, Tensor],
        batch: Data,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the predictions."""
        if not self.collecting:
            return
        begun = time.perf_counter()
        if batch_idx == 0 and "forces" in outputs and pl_module.model.long_range is not None:
            long_range = long_range_forces(pl_module.model, batch)
            parts = {"short_range": outputs["forces"] - long_range, "long_range": long_range}
            self.force_parts = {
                f"val/force_{name}_rms": MILLI * forces.double().square().mean().sqrt().item()
                for name, forces in parts.items()
            }
        found = batch_predictions(outputs, batch, trainer.datamodule.splits.val)
        self.predictions += [p for p, counted in zip(found, batch.counted.tolist(), strict=True) if counted]
        self.spent += time.perf_counter() - begun

    @rank_zero_only
    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Draw and log, where there is time for it."""
        if not self.collecting or not self.predictions:
            return
        pl_module.log_dict(self.force_parts, rank_zero_only=True)
        affordable = self.max_time_share * (time.perf_counter() - self.started)
        if self.spent + self.last_drawing <= affordable:
            self._draw(trainer, pl_module.model)

    @rank_zero_only
    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Draw once where there was no time for it."""
        if self.predictions and not self.drawn:
            self._draw(trainer, pl_module.model)

    def _draw(self, trainer: lightning.Trainer, model: SOGNet) -> None:
        begun = time.perf_counter()
        loggers = [run_logger for run_logger in trainer.loggers if takes_media(run_logger)]
        if loggers:
            known = (c.boxes for c in trainer.callbacks if isinstance(c, LongRangeDiagnostics))
            boxes = next(known, None) or typical_boxes(trainer.datamodule.splits)  # which reads some of each split
            histograms, images = self._media(model, boxes)
            for run_logger in loggers:
                log_media(run_logger, histograms, images, trainer.global_step)
        self.predictions, self.drawn = None, True
        self.last_drawing = time.perf_counter() - begun
        self.spent += self.last_drawing

    def _media(self, model: SOGNet, boxes: Boxes) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        finite = [
            p
            for p in self.predictions
            if all(np.isfinite(v).all() for v in (p.energy, p.forces, p.latent) if v is not None)
        ]
        if not finite:
            return {}, {}
        force_errors, latents = force_errors_by_element(finite), latents_by_element(finite)
        histograms = {f"force_error/{element}": values for element, values in force_errors.items()}
        for element, values in latents.items():
            for channel in range(values.shape[1]):
                name = f"latent/{element}/{channel}" if values.shape[1] > 1 else f"latent/{element}"
                histograms[name] = values[:, channel]
        figures = {
            "figures/parity": parity_figure({"val": finite}),
            "figures/distributions": distribution_figure(force_errors, latents),
        }
        kernel = kernel_of(model.long_range)
        if kernel is not None:
            with torch.enable_grad():  # of g(r)
                channels = range(kernel.n_channels)
                if all(fitted_decay(kernel, model.cutoff, boxes.length, c, boxes.periodic) for c in channels):
                    figures["figures/kernel"] = kernel_figure(kernel, model.cutoff, boxes)
        return histograms, {name: rendered(figure) for name, figure in figures.items()}
