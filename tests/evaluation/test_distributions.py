"""Histograms by element."""

import numpy as np
import pytest
from structures import labelled_atoms

from sognet.data import Keys, Structure
from sognet.evaluation.distributions import binned, distribution_figure, force_errors_by_element, latents_by_element
from sognet.evaluation.predictions import Prediction


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
