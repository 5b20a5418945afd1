"""How force errors and latent variables are distributed over the atoms of each element."""

from collections.abc import Mapping, Sequence

import numpy as np
from ase.data import chemical_symbols
from matplotlib.figure import Figure

from sognet.analysis.predictions import Prediction


def force_errors_by_element(predictions: Sequence[Prediction]) -> dict[str, np.ndarray]:
    """Errors of force components, (3n,) in meV/Å, by chemical symbol, of structures that have reference forces."""
    known = [p for p in predictions if p.forces is not None and p.structure.forces is not None]
    errors = [1000.0 * (p.forces - p.structure.forces) for p in known]
    return {symbol: values.ravel() for symbol, values in _by_element(known, errors).items()}


def latents_by_element(predictions: Sequence[Prediction]) -> dict[str, np.ndarray]:
    """Latent variables, (n, P), by chemical symbol; empty for a short-range model."""
    with_latents = [p for p in predictions if p.latent.shape[1]]
    return _by_element(with_latents, [p.latent for p in with_latents])


def distribution_figure(force_errors: Mapping[str, np.ndarray], latents: Mapping[str, np.ndarray]) -> Figure:
    """Histograms of force errors (logarithmic) and of the latent variables, by element; all channels in its colour."""
    figure = Figure(figsize=(8.5, 4.2), layout="constrained")
    error_axes, latent_axes = figure.subplots(1, 2)
    _histograms(error_axes, {symbol: errors[:, None] for symbol, errors in force_errors.items()})
    error_axes.set(xlabel="force error / meV Å$^{-1}$", ylabel="components", yscale="log")
    _histograms(latent_axes, latents)
    latent_axes.set(xlabel="latent variable", ylabel="atoms")
    return figure


def binned(values: np.ndarray, bins: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Counts and edges of bins that hold all values, also where these are the same but for rounding."""
    low, high = float(values.min()), float(values.max())
    half = max((high - low) / 2, 1e-6 * max(abs(low), abs(high)), 1e-12)
    middle = (low + high) / 2
    return np.histogram(values.astype(np.float64), bins, (middle - half, middle + half))


def _by_element(predictions: Sequence[Prediction], values: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    if not predictions:
        return {}
    numbers = np.concatenate([p.structure.numbers for p in predictions])
    together = np.concatenate(values)
    return {chemical_symbols[z]: together[numbers == z] for z in np.unique(numbers)}


def _histograms(axes, values: Mapping[str, np.ndarray]) -> None:
    """Of each column of (n, channels) values by name."""
    if not values:
        return
    _, edges = binned(np.concatenate([of_name.ravel() for of_name in values.values()]))
    for color, (name, of_name) in enumerate(values.items()):
        for channel, column in enumerate(of_name.T):
            axes.stairs(np.histogram(column, edges)[0], edges, color=f"C{color}", label=None if channel else name)
    axes.legend(frameon=False)
