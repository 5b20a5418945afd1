"""Figures of a run: parity of energies and forces, and the learned kernel in real and Fourier space."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from sognet.evaluation.kernel import constrained_kernel, fitted_decay
from sognet.evaluation.predictions import Prediction
from sognet.long_range import COULOMB_CONSTANT, SumOfGaussians

COLORS = {"train": "#9aa5b1", "val": "#e08214", "test": "#2166ac", "all": "#2166ac"}


def parity_figure(predictions: Mapping[str, Sequence[Prediction]]) -> Figure:
    """Predicted against reference energies per atom (about the reference's mean) and force components, by split."""
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
        _scatter(energy, np.array(pairs).reshape(-1, 2), split)
        forces = [
            np.stack([p.structure.forces, p.forces], -1).reshape(-1, 2)
            for p in members
            if p.structure.forces is not None
        ]
        _scatter(force, np.concatenate(forces) if forces else np.zeros((0, 2)), split)
    _diagonal(energy, "reference energy / meV per atom", "predicted energy / meV per atom")
    _diagonal(force, "reference force / eV Å$^{-1}$", "predicted force / eV Å$^{-1}$")
    return figure


def kernel_figure(kernel: SumOfGaussians, r_min: float, box_length: float) -> Figure:
    """The multiplier ĝ(k) and the force −g′(r) of the kernel beside 1/r's, with the fitted exponent."""
    figure = Figure(figsize=(8.5, 4.2), layout="constrained")
    fourier, real = figure.subplots(1, 2)
    seen = constrained_kernel(kernel, box_length).double()
    k = torch.logspace(
        math.log10(2 * math.pi / box_length), math.log10(2 * kernel.max_bandwidth), 300, dtype=torch.float64
    )
    r = torch.logspace(math.log10(0.3 * r_min), math.log10(box_length / 2), 300, dtype=torch.float64).requires_grad_()
    multiplier = seen.multiplier(k.square()).detach()
    for channel in range(kernel.n_channels):
        decay = fitted_decay(kernel, r_min, box_length, channel)
        (slope,) = torch.autograd.grad(seen(r)[channel].sum(), r)
        label = f"learned: $p$ = {decay.exponent:.2f}" + (f" (channel {channel})" if kernel.n_channels > 1 else "")
        fourier.loglog(k, multiplier[channel].abs(), lw=2)
        real.loglog(r.detach(), slope.abs(), lw=2, label=label)
    fourier.loglog(k, 4 * math.pi * COULOMB_CONSTANT / k.square(), "k--", lw=1)
    real.loglog(r.detach(), COULOMB_CONSTANT / r.detach().square(), "k--", lw=1, label="1/r: $p$ = 1")
    real.axvspan(r_min, decay.r_max, color="0.93", zorder=0, label="fitted range")
    fourier.set(xlabel="k / Å$^{-1}$", ylabel="|ĝ(k)| / eV Å$^3$", ylim=(multiplier.abs().max() * 1e-6, None))
    real.set(xlabel="r / Å", ylabel="|g′(r)| / eV Å$^{-1}$")
    real.legend(frameon=False)
    return figure


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG and return where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    return path


def _scatter(axes, pairs: np.ndarray, split: str) -> None:
    if len(pairs) > 20_000:
        pairs = pairs[np.random.default_rng(0).choice(len(pairs), 20_000, replace=False)]
    axes.plot(*pairs.T, ".", ms=4, alpha=0.6, color=COLORS.get(split), label=split, rasterized=True)


def _diagonal(axes, xlabel: str, ylabel: str) -> None:
    low, high = axes.get_xlim()
    axes.axline((low, low), (high, high), color="k", lw=0.8, zorder=0)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.legend(frameon=False)
