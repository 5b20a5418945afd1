"""Checkpoints of earlier versions give the energies and forces that those versions gave.

`checkpoints/` holds small untrained models of 0.1.0 and what that version computed for `random_atoms()`.
"""

from pathlib import Path

import pytest
import torch
from structures import graph_of, random_atoms

from sognet import load_model

CHECKPOINTS = Path(__file__).parent / "checkpoints"


@pytest.mark.parametrize("name", ["deep_potential", "cace"])
def test_a_checkpoint_of_an_earlier_version_gives_its_output(name, device):
    model = load_model(CHECKPOINTS / f"{name}.ckpt", device)
    assert model.reference_energies == {"Na": -1.5, "Cl": -2.5}
    out = model(graph_of(random_atoms()).to(device))
    for key, value in torch.load(CHECKPOINTS / f"{name}_output.pt").items():
        torch.testing.assert_close(out[key].detach().cpu(), value, rtol=1e-4, atol=1e-5)
