"""Figures of results: a panel beside the other, with errors as bands."""

import numpy as np
from matplotlib.figure import Figure

from sognet.trajectories.results import Curve, Result
from sognet.trajectories.tables import with_unit


def result_figure(result: Result) -> Figure:
    """The curves of a result, with a band of one standard error on both sides."""
    n = len(result.panels)
    figure = Figure(figsize=(4.6 * n, 3.8), layout="constrained")
    for axes, panel in zip(figure.subplots(1, n, squeeze=False)[0], result.panels, strict=True):
        for curve in panel.curves:
            _draw(axes, result.axis, curve)
        axes.set(xlabel=with_unit(result.label, result.unit), ylabel=with_unit(panel.label, panel.unit))
        if result.logarithmic and any((curve.values > 0).any() for curve in panel.curves):
            axes.set(xscale="log", yscale="log")
        if any(curve.name for curve in panel.curves):
            axes.legend(frameon=False, fontsize="small")
    return figure


def _draw(axes, x: np.ndarray, curve: Curve) -> None:
    (line,) = axes.plot(x, curve.values, lw=1.5, label=curve.name or None)
    if curve.errors is not None and np.isfinite(curve.errors).any():
        low, high = curve.values - curve.errors, curve.values + curve.errors
        axes.fill_between(x, low, high, where=np.isfinite(low), color=line.get_color(), alpha=0.25, lw=0)
