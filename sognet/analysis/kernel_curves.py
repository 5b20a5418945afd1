"""Curves of a kernel: g(r), ĝ(k) and the local exponent, as tables and as a figure."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

from sognet.analysis.decay_uncertainty import DeterminedDecay
from sognet.long_range import SumOfGaussians
from sognet.long_range.decay import Boxes, constrained_kernel

POINTS = 200


def real_space(kernel: SumOfGaussians, cutoff: float, boxes: Boxes) -> dict[str, np.ndarray]:
    """`r` (n,) in Å, and of each channel (n_channels, n) `g` in eV, `slope` g′ in eV/Å and the `local_exponent`
    −d ln|g′|/d ln r − 1, of the Gaussians that the boxes see.
    """
    end = max(boxes.length / 2, 1.5 * cutoff)
    r = torch.logspace(math.log10(0.3 * cutoff), math.log10(end), POINTS, dtype=torch.float64).requires_grad_()
    with torch.enable_grad():
        g = constrained_kernel(kernel, *boxes).double()(r)
        slope = torch.stack([torch.autograd.grad(channel.sum(), r, create_graph=True)[0] for channel in g])
        curvature = torch.stack([torch.autograd.grad(s.sum(), r, retain_graph=True)[0] for s in slope])
    local = -r * curvature / slope - 1
    return {
        "r": r.detach().numpy(),
        "g": g.detach().numpy(),
        "slope": slope.detach().numpy(),
        "local_exponent": local.detach().numpy(),
    }


def fourier_space(kernel: SumOfGaussians, boxes: Boxes) -> tuple[np.ndarray, np.ndarray]:
    """K (n,) in 1/Å from the smallest of the box on, and ĝ(k) (n_channels, n) in eV·Å³."""
    highest = 3 * kernel.bandwidths.max().item()
    k = torch.logspace(math.log10(2 * math.pi / boxes.length), math.log10(highest), POINTS, dtype=torch.float64)
    with torch.no_grad():
        return k.numpy(), kernel.cpu().double().multiplier(k.square()).numpy()


def write_curves(
    folder: Path, kernel: SumOfGaussians, cutoff: float, boxes: Boxes, decays: Sequence[DeterminedDecay]
) -> None:
    """`kernel_r.csv`, `kernel_k.csv` and `kernel.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    real, (k, multiplier) = real_space(kernel, cutoff, boxes), fourier_space(kernel, boxes)
    with (folder / "kernel_r.csv").open("w", newline="") as target:
        writer = csv.writer(target)
        columns = ("g", "slope", "local_exponent")
        writer.writerow(["channel", "r", *columns, "determined_exponent", "uncertainty"])
        for channel, decay in enumerate(decays):
            known = [np.full(len(real["r"]), math.nan)] * 2
            if len(decay.distances):
                values = (decay.local_exponents, decay.local_uncertainties)
                known = [np.interp(real["r"], decay.distances, v, math.nan, math.nan) for v in values]
            for row in zip(real["r"], *(real[c][channel] for c in columns), *known, strict=True):
                writer.writerow([channel, *("" if math.isnan(v) else f"{v:.8g}" for v in row)])
    with (folder / "kernel_k.csv").open("w", newline="") as target:
        writer = csv.writer(target)
        writer.writerow(["channel", "k", "multiplier"])
        for channel, values in enumerate(multiplier):
            writer.writerows([channel, f"{x:.8g}", f"{y:.8g}"] for x, y in zip(k, values, strict=True))
    decay_figure(real, k, multiplier, cutoff, decays).savefig(folder / "kernel.png", dpi=150)


def decay_figure(
    real: dict[str, np.ndarray],
    k: np.ndarray,
    multiplier: np.ndarray,
    cutoff: float,
    decays: Sequence[DeterminedDecay],
) -> Figure:
    """g(r), ĝ(k) and the local exponent of each channel; the band is what the data determine (95 %)."""
    figure = Figure(figsize=(11.0, 3.8), layout="constrained")
    in_real, in_fourier, exponent = figure.subplots(1, 3)
    for channel, decay in enumerate(decays):
        color = f"C{channel}"
        in_real.loglog(real["r"], np.abs(real["g"][channel]), color=color, label=f"channel {channel}")
        in_fourier.loglog(k, np.abs(multiplier[channel]), color=color)
        exponent.plot(real["r"], real["local_exponent"][channel], color=color, ls="--", label="learned kernel")
        if len(decay.distances):
            low, high = (decay.local_exponents + sign * decay.local_uncertainties for sign in (-1, 1))
            exponent.plot(decay.distances, decay.local_exponents, color=color, label="determined by the data")
            exponent.fill_between(decay.distances, low, high, color=color, alpha=0.25, lw=0)
    in_real.set(xlabel="r / Å", ylabel="|g(r)| / eV")
    in_fourier.set(xlabel="k / Å$^{-1}$", ylabel="|ĝ(k)| / eV Å$^3$")
    in_fourier.set_ylim(np.abs(multiplier).max() * 1e-6, None)
    exponent.set(xlabel="r / Å", ylabel="local exponent", xscale="log", ylim=(-1, 8))
    for axes in (in_real, exponent):
        axes.axvline(cutoff, color="0.6", lw=0.8, label="cutoff")
    for axes in (in_real, in_fourier, exponent):
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    if len(decays) > 1:
        in_real.legend(frameon=False)
    if len(decays) == 1:
        exponent.legend(frameon=False, loc="upper left")
    return figure
