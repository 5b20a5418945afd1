"""Histograms by element."""

import numpy as np
import pytest
from structures import labelled_atoms

from sognet.analysis.distributions import binned, distribution_figure, force_errors_by_element, latents_by_element
from sognet.analysis.figures import kernel_figure
from sognet.analysis.predictions import Prediction
from sognet.data import Keys, Structure
from sognet.long_range import SumOfGaussians
from sognet.long_range.decay import Boxes


@pytest.mark.parametrize("spread", [0.0, 1e-16, 1e-7, 1.0])
@pytest.mark.parametrize("offset", [0.0, 1.0, -1e5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_value_is_in_a_bin(spread, offset, dtype):
    values = (offset + spread * np.random.default_rng(0).normal(size=100)).astype(dtype)
    counts, edges = binned(values)
    assert counts.sum() == 100
    assert (np.diff(edges) > 0).all()


def test_force_errors_and_latents_belong_to_their_element():
    atoms = labelled_atoms(12)
    structure = Structure.from_atoms(atoms, Keys(), "test")
    sign = np.where(atoms.symbols == "Na", 1.0, -1.0)[:, None]
    predictions = [Prediction(structure, 0.0, 0.0, 0.0, sign * [1.0, 2.0], structure.forces + 0.003 * sign)]
    errors, latents = force_errors_by_element(predictions), latents_by_element(predictions)
    np.testing.assert_allclose(errors["Na"], 3.0)
    np.testing.assert_allclose(errors["Cl"], -3.0)
    assert len(errors["Na"]) == 3 * (atoms.symbols == "Na").sum()
    np.testing.assert_allclose(latents["Cl"], [[-1.0, -2.0]] * 6)
    axes = distribution_figure(errors, latents).axes
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == ["Na", "Cl"]
    assert len(axes[1].patches) == 4
    assert [text.get_text() for text in axes[1].get_legend().get_texts()] == ["Na", "Cl"]


@pytest.mark.filterwarnings("error")
def test_many_channels_leave_room_for_the_figure():
    rng = np.random.default_rng(0)
    errors, latents = ({s: rng.normal(size=shape) for s in ("Na", "Cl")} for shape in (30, (10, 16)))
    figure = distribution_figure(errors, latents)
    figure.canvas.draw()
    assert all(axes.get_position().height > 0.5 for axes in figure.axes)


@pytest.mark.filterwarnings("error")
def test_kernels_of_many_channels_leave_room_for_the_figure(device):
    kernel = SumOfGaussians.power_law(n_channels=16).to(device)
    figure = kernel_figure(kernel, r_min=7.0, boxes=Boxes(12.0, True))
    figure.canvas.draw()
    real = figure.axes[1]
    assert real.get_position().width > 0.35
    assert real.get_legend().get_window_extent().height < real.bbox.height / 2
    assert max(real.lines[0].get_xdata()) >= 10.5  # the curve goes through the range in which it is fitted
