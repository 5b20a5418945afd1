"""Figures of a run: parity of energies and forces, the learned kernel in real and Fourier space, and the calibration of
a committee.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

from sognet.analysis.numbers import readable
from sognet.analysis.predictions import Prediction
from sognet.analysis.uncertainty import binned, calibration, energy_pairs, force_pairs
from sognet.long_range import COULOMB_CONSTANT, SumOfGaussians
from sognet.long_range.decay import Boxes, Decay, constrained_kernel, fitted_decay, initial_kernel

STATUSES = {
    "found": "learned",
    "unchanged": "unchanged",
    "undetermined": "not determined",
    "hidden": "not visible",
    "fixed": "fixed",
}
"""What is said of a channel by its status."""

LABELLED_CHANNELS = 4
COLORS = {"train": "#9aa5b1", "val": "#e08214", "test": "#2166ac", "all": "#2166ac"}


def parity_figure(predictions: Mapping[str, Sequence[Prediction]]) -> Figure:
    """Predicted against reference energies per atom (about the reference's mean) and force components, by split,
    with their root mean square errors.
    """
    figure = Figure(figsize=(8.5, 4.2), layout="constrained")
    energy, force = figure.subplots(1, 2)
    reference = [p.structure.energy / len(p.structure) for s in predictions.values() for p in s if p.structure.energy]
    mean = float(np.mean(reference)) if reference else 0.0
    for split, members in predictions.items():
        pairs = [
            ((p.structure.energy / len(p.structure) - mean) * 1e3, (p.energy / len(p.structure) - mean) * 1e3)
            for p in members
            if p.structure.energy is not None
        ]
        pairs = np.array(pairs).reshape(-1, 2)
        _scatter(energy, pairs, split, label=_with_error(split, pairs, "meV/atom"))
        forces = [
            np.stack([p.structure.forces, p.forces], -1).reshape(-1, 2)
            for p in members
            if p.structure.forces is not None and p.forces is not None
        ]
        pairs = np.concatenate(forces) if forces else np.zeros((0, 2))
        _scatter(force, pairs, split, label=_with_error(split, 1e3 * pairs, "meV/Å"))
    _diagonal(energy, "reference energy / meV per atom", "predicted energy / meV per atom")
    _diagonal(force, "reference force / eV Å$^{-1}$", "predicted force / eV Å$^{-1}$")
    return figure


def _with_error(split: str, pairs: np.ndarray, unit: str) -> str:
    """Label of a split with the root mean square difference of pairs (n, 2)."""
    if not len(pairs):
        return split
    return f"{split}: RMSE {readable(float(np.sqrt(np.square(pairs[:, 1] - pairs[:, 0]).mean())))} {unit}"


def kernel_figure(kernel: SumOfGaussians, r_min: float, boxes: Boxes, statuses: Sequence[str] = ()) -> Figure:
    """The multiplier ĝ(k) and the force −g′(r) of the kernel with the fitted exponent, beside those of the kernel
    before training and of 1/r, which is scaled to the first channel's strength in the fitted range. `statuses` of the
    channels say whether an exponent was learned (sognet.analysis.long_range_share).
    """
    figure = Figure(figsize=(8.5, 4.2), layout="constrained")
    fourier, real = figure.subplots(1, 2)
    seen = constrained_kernel(kernel, *boxes).double()
    k = _log_grid(2 * math.pi / boxes.length, 3 * seen.bandwidths.max().item())
    multiplier = seen.multiplier(k.square()).detach()
    channels = range(kernel.n_channels)
    decays = [fitted_decay(kernel, r_min, boxes.length, channel, boxes.periodic) for channel in channels]
    r = _log_grid(0.3 * r_min, max(boxes.length / 2, decays[0].r_max)).requires_grad_()
    for channel, label in enumerate(_labels([decay.exponent for decay in decays], statuses)):
        (slope,) = torch.autograd.grad(seen(r)[channel].sum(), r)
        fourier.loglog(k, multiplier[channel].abs(), lw=2)
        real.loglog(r.detach(), slope.abs(), lw=2, label=label)
    before = constrained_kernel(initial_kernel(kernel), *boxes).double()
    (slope,) = torch.autograd.grad(before(r)[0].sum(), r)
    fourier.loglog(k, before.multiplier(k.square()).detach()[0].abs(), color="0.5", ls=":")
    first = fitted_decay(before, r_min, boxes.length, 0, boxes.periodic)
    real.loglog(r.detach(), slope.abs(), color="0.5", ls=":", label=_before(first))
    strength = abs(decays[0].coulomb_ratio) * COULOMB_CONSTANT
    fourier.loglog(k, 4 * math.pi * strength / k.square(), "k--", lw=1)
    real.loglog(r.detach(), strength / r.detach().square(), "k--", lw=1, label="1/r: $p$ = 1")
    real.axvspan(r_min, decays[0].r_max, color="0.88", zorder=0, label="fitted range")
    fourier.set(xlabel="k / Å$^{-1}$", ylabel="|ĝ(k)| / eV Å$^3$", ylim=(multiplier.abs().max().item() * 1e-6, None))
    real.set(xlabel="r / Å", ylabel="|g′(r)| / eV Å$^{-1}$")
    real.legend(frameon=False, loc="lower left")
    for axes in (fourier, real):
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    return figure


def _before(decay: Decay | None) -> str:
    return "before training" if decay is None else f"before training: $p$ = {decay.exponent:.2f}"


def _labels(exponents: Sequence[float], statuses: Sequence[str]) -> list[str | None]:
    """Label of each channel, or one for all where there are too many for a legend."""
    words = [STATUSES[status] for status in statuses] or ["learned"] * len(exponents)
    if len(exponents) == 1:
        return [f"{words[0]}: $p$ = {exponents[0]:.2f}"]
    if len(exponents) <= LABELLED_CHANNELS:
        labelled = zip(exponents, words, strict=True)
        return [f"{word}: $p$ = {p:.2f} (channel {channel})" for channel, (p, word) in enumerate(labelled)]
    together = f"{len(exponents)} channels: $p$ = {min(exponents):.2f} to {max(exponents):.2f}"
    return [together] + [None] * (len(exponents) - 1)


def _log_grid(low: float, high: float) -> torch.Tensor:
    return torch.logspace(math.log10(low), math.log10(high), 300, dtype=torch.float64)


def calibration_figure(predictions: Mapping[str, Sequence[Prediction]]) -> Figure:
    """Root mean square error against uncertainty of a committee, in bins, over single structures and atoms, by split.

    On the diagonal the uncertainty is as large as the error; the dashed line is the scale factor of the last split.
    """
    figure = Figure(figsize=(8.5, 4.2), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, pairs, unit in zip(
        panels, (energy_pairs, force_pairs), ("energy / meV per atom", "force / meV Å$^{-1}$"), strict=True
    ):
        found = {split: pairs(members) for split, members in predictions.items()}
        for split, (uncertainty, error) in found.items():
            _scatter(
                axes, np.stack([uncertainty, error], 1)[(uncertainty > 0) & (error > 0)], split, alpha=0.15, label=None
            )
        for split, (uncertainty, error) in found.items():
            color = COLORS.get(split)
            axes.plot(*_positive(binned(uncertainty, error)).T, "o", color=color, markeredgecolor="k", label=split)
            scaled = calibration(uncertainty, error)
        axes.set(xscale="log", yscale="log", xlabel=f"uncertainty of the {unit}", ylabel=f"error of the {unit}")
        axes.autoscale(False)
        axes.axline((1, 1), (10, 10), color="k", lw=0.8, zorder=0)
        if scaled is not None and scaled.scale > 0:
            line = {"color": color, "ls": "--", "lw": 0.8, "label": f"{scaled.scale:.2g} × uncertainty"}
            axes.axline((1, scaled.scale), (10, 10 * scaled.scale), **line)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, loc="upper left")
    return figure


def _positive(pairs: np.ndarray) -> np.ndarray:
    return pairs[(pairs > 0).all(1)]


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG and return where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    return path


def _scatter(axes, pairs: np.ndarray, split: str, **style) -> None:
    if len(pairs) > 20_000:
        pairs = pairs[np.random.default_rng(0).choice(len(pairs), 20_000, replace=False)]
    style = {"alpha": 0.6, "label": split} | style
    axes.plot(*pairs.T, ".", ms=4, color=COLORS.get(split), rasterized=True, **style)


def _diagonal(axes, xlabel: str, ylabel: str) -> None:
    low, high = axes.get_xlim()
    axes.axline((low, low), (high, high), color="k", lw=0.8, zorder=0)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.legend(frameon=False, loc="upper left")  # off the diagonal; to look for the best place takes long
