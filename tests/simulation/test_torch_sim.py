"""torch-sim: many systems at once by its own integrators."""

import numpy as np
import pytest
import torch
from ase.io import read, write
from structures import random_atoms, saved_model, small_model
from test_documents import BLOCK, ROOT

from sognet import SOGNetCalculator

ts = pytest.importorskip("torch_sim")
EXAMPLE = next(
    text for _, title, text in BLOCK.findall((ROOT / "docs" / "simulation.md").read_text()) if "torch" in title
)


def test_systems_of_a_batch_have_the_energies_forces_and_stresses_of_each():
    from sognet.simulation.engines.torch_sim_model import TorchSimModel

    frames = [random_atoms(n, seed=n) for n in (12, 8, 5)]
    model = TorchSimModel(small_model(n_latent=1), dtype="float64")
    found = model(ts.initialize_state(frames, model.device, model.dtype))
    bounds = np.cumsum([0, *map(len, frames)])
    for i, atoms in enumerate(frames):
        atoms.calc = SOGNetCalculator(small_model(n_latent=1), dtype="float64")
        assert found["energy"][i].item() == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
        np.testing.assert_allclose(found["forces"][bounds[i] : bounds[i + 1]], atoms.get_forces(), atol=1e-9)
        np.testing.assert_allclose(found["stress"][i], atoms.get_stress(voigt=False), atol=1e-10)


def test_clusters_have_no_stress():
    from sognet.simulation.engines.torch_sim_model import TorchSimModel

    model = TorchSimModel(small_model(n_latent=1), dtype="float64")
    found = model(ts.initialize_state(random_atoms(pbc=False), model.device, model.dtype))
    assert not found["stress"].any()
    assert "stress" not in TorchSimModel(small_model(), compute_stress=False)(
        ts.initialize_state(random_atoms(), torch.device("cpu"), torch.float64)
    )


def test_the_example_of_the_page_moves_all_systems(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    saved_model(tmp_path / "best.ckpt", n_latent=1)
    write("starts.extxyz", [random_atoms(n, seed=n) for n in (12, 8)])
    exec(compile(EXAMPLE, "many_systems_torch_sim.py", "exec"), {})
    assert "2 systems" in capsys.readouterr().out
    ends = read("ends.extxyz", ":")
    assert [len(atoms) for atoms in ends] == [12, 8]
    assert all(np.isfinite(atoms.positions).all() for atoms in ends)
