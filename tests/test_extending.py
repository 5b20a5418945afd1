"""docs/extending.md: its files are written out as they stand, its commands train, its Python runs."""

import json
import re
import shlex
import sys

import numpy as np
import pytest
import torch
from ase.io import read, write
from command import sognet
from omegaconf import OmegaConf
from structures import random_atoms
from test_documents import BLOCK, ROOT

from sognet import load_model
from sognet.data import Splits

PAGE = (ROOT / "docs" / "extending.md").read_text()
BLOCKS = BLOCK.findall(PAGE)
COMMANDS = [line for language, _, text in BLOCKS if not language for line in text.splitlines()]
QUICK = ["trainer.max_epochs=1", "trainer=cpu", "logger=csv"]


@pytest.fixture(scope="module")
def folder(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("extending")
    frames = read(data, index=":")
    for atoms in frames[1:]:  # the first lacks them
        atoms.arrays["mulliken"] = np.where(atoms.numbers == 11, 0.9, -0.9)
    write(folder / "mine.xyz", frames, format="extxyz")
    for _, title, text in BLOCKS:
        if title:
            (folder / title).parent.mkdir(parents=True, exist_ok=True)
            (folder / title).write_text(text)
    return folder


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])


@pytest.fixture(scope="module")
def runs(folder):
    """Folders of the runs, by the module that is trusted."""
    found = {}
    for number, line in enumerate(COMMANDS):
        words = shlex.split(line)[1:]
        named = [w.partition("=")[2] for w in words if w.startswith("hydra.run.dir=")]
        place = named[0] if named else f"outputs/{number}"
        sognet(*words, *QUICK, *([] if named else [f"hydra.run.dir={place}"]), cwd=folder)
        found[re.search(r"trust=\[(.*)\]", line)[1]] = folder / place
    return found


def test_every_kind_has_a_command_that_trains(runs):
    assert list(runs) == [
        "my_descriptor",
        "my_external",
        "my_data",
        "my_layer",
        "my_target",
        "my_training",
        "my_descriptor,my_data",
    ]
    summaries = {name: json.loads((run / "summary.json").read_text()) for name, run in runs.items()}
    assert all(s["all"]["force_rmse"] > 0 for s in summaries.values())
    assert summaries["my_target"]["all"]["charge_rmse"] > 0
    assert summaries["my_target"]["all"]["n_charge"] == summaries["my_target"]["all"]["n_structures"] - 1
    assert summaries["my_layer"]["diagnostics"]["screening_length"] == pytest.approx(10, abs=2)


def test_the_python_of_the_page_runs(runs, here, capsys):
    for language, title, text in BLOCKS:
        if language == "python" and not title:
            exec(compile(text, "extending.md", "exec"), {})
    assert float(capsys.readouterr().out.split()[-1]) < 0


def test_files_are_short():
    for language, title, text in BLOCKS:
        if language == "python" and title:
            assert len(text.splitlines()) <= 50, title


@pytest.mark.usefixtures("here", "double")
def test_the_layer_is_a_screened_coulomb_sum():
    """Two opposite Gaussian charges far apart in a large box: −C exp(−κ r)/r, with the self-energies taken off."""
    from my_layer import Screened

    from sognet.long_range import COULOMB_CONSTANT

    layer, box, kappa = Screened(width=0.8, screening=0.4), 30 * torch.eye(3)[None], 0.4
    energies = []
    for distance in (5.0, 6.0):
        positions = torch.tensor([[0.0, 0, 0], [distance, 0, 0]])
        energies.append(layer(torch.tensor([[1.0], [-1.0]]), positions, box).item())
    screened = [COULOMB_CONSTANT * torch.exp(torch.tensor(0.5 * (kappa * 0.8) ** 2)).item() / r for r in (5.0, 6.0)]
    expected = [-c * torch.exp(torch.tensor(-kappa * r)).item() for c, r in zip(screened, (5.0, 6.0), strict=True)]
    assert energies[1] - energies[0] == pytest.approx(expected[1] - expected[0], rel=1e-2)


@pytest.mark.usefixtures("here")
def test_the_engine_goes_downhill_by_the_forces(runs):
    """The energy falls by step·F² in a small step, and structures do not see one another."""
    from my_engine import relax

    from sognet.simulation import Evaluator

    evaluator = Evaluator(runs["my_descriptor"], dtype="float64", trust=["my_descriptor"])
    frames = read("mine.xyz", index=":3")
    structures = [evaluator.structure(atoms, "mine.xyz") for atoms in frames]
    squared = [(found["forces"] ** 2).sum() for found in evaluator(structures)]
    step = 1e-6
    histories = relax(evaluator, structures, n_steps=1, step=step)
    for (before, after), expected in zip(histories, squared, strict=True):
        assert before - after == pytest.approx(step * expected, rel=1e-3)


@pytest.mark.usefixtures("here")
def test_the_data_set_has_splits():
    from my_data import alloy

    assert isinstance(alloy(n_frames=10), Splits)


@pytest.mark.usefixtures("here", "double")
@pytest.mark.parametrize("kind", ["my_descriptor.Radial", "my_external.Adapter"])
def test_energies_are_smooth_where_a_neighbour_leaves(kind):
    from structures import graph_of

    from sognet import SOGNet
    from sognet.trust import resolve

    torch.manual_seed(0)
    model = SOGNet(resolve(kind, kind.partition(".")[0])(["Na", "Cl"], 4.0)).eval()
    atoms = random_atoms(2, pbc=False)
    energies = []
    for distance in (4.0 - 1e-6, 4.0 + 1e-6):
        atoms.positions[:] = [[0, 0, 0], [distance, 0, 0]]
        energies.append(model(graph_of(atoms), forces=False, stress=False)["energy"].item())
    assert energies[0] == pytest.approx(energies[1], abs=1e-12)


@pytest.mark.usefixtures("here")
def test_the_module_keeps_the_initial_latents_for_its_epochs(runs):
    config = OmegaConf.load(runs["my_training"] / "config.yaml")
    assert config.module.epochs == 2  # the run has one epoch
    model = load_model(runs["my_training"] / "checkpoints" / "last.ckpt")
    last = torch.load(runs["my_training"] / "checkpoints" / "last.ckpt", weights_only=True)
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    names.sort(key=lambda name: name.startswith("long_range."))  # the kernel's group is the last
    moved = {names[number].partition(".")[0] for number in last["optimizer_states"][0]["state"]}
    assert "latent_head" not in moved
    assert "energy_head" in moved
