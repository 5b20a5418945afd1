"""What the figures say beside what they draw."""

import numpy as np
import pytest
from structures import labelled_atoms

from sognet.analysis.figures import kernel_figure, parity_figure
from sognet.analysis.predictions import Prediction
from sognet.data import Keys, Structure
from sognet.long_range import SumOfGaussians
from sognet.long_range.decay import Boxes


def labels(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_parity_has_the_errors_of_each_split():
    structure = Structure.from_atoms(labelled_atoms(8), Keys(), "a")
    rng = np.random.default_rng(0)
    error = 0.033 * rng.choice([-1.0, 1.0], size=(8, 3))
    prediction = Prediction(
        structure, structure.energy + 8 * 0.002, 0.0, 0.0, np.zeros((8, 0)), structure.forces + error
    )
    energy, force = parity_figure({"test": [prediction]}).axes
    assert labels(energy) == ["test: RMSE 2.00 meV/atom"]
    assert labels(force) == ["test: RMSE 33.0 meV/Å"]


@pytest.mark.parametrize(("status", "word"), [("found", "learned"), ("undetermined", "not determined")])
def test_kernel_is_drawn_beside_its_start(status, word):
    kernel = SumOfGaussians.power_law(2.0, cutoff=6.0)
    kernel.relative_weights.data *= kernel.bandwidths.detach() ** -1
    _, real = kernel_figure(kernel, 6.0, Boxes(40.0, True), [status]).axes
    found = labels(real)
    assert found[0].startswith(f"{word}: $p$ = 1.0")
    assert found[1].startswith("before training: $p$ = 2.0")
