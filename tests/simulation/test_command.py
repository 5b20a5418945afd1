"""`sognet simulate` as users type it."""

import hashlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from ase.io import read, write
from command import MAIN, TIMEOUT, sognet
from omegaconf import OmegaConf
from structures import random_atoms, saved_model

from sognet.simulation.files import columns_of
from sognet.simulation.restart import RestartState

SHORT = ["simulation.steps=20", "simulation.every=5", "simulation.restart_every=10", "dtype=float64", "device=cpu"]


@pytest.fixture
def files(tmp_path):
    saved_model(tmp_path / "a.ckpt", n_latent=1)
    write(tmp_path / "start.extxyz", random_atoms())
    return tmp_path


def test_a_simulation_is_begun_made_longer_and_says_where_everything_is(files):
    given = ["checkpoint=a.ckpt", "structure=start.extxyz", "simulation=nvt", *SHORT]
    output = sognet("simulate", *given, "hydra.run.dir=whole", cwd=files)
    assert "12 atoms, nvt at 300 K: 20 steps of 1 fs, velocities drawn at 300 K, seed=0" in output
    assert "0.02 ps: mean temperature" in output
    assert f"Everything is in {files / 'whole'}" in output
    sognet("simulate", *given, "simulation.steps=10", "hydra.run.dir=parts", cwd=files)
    again = ["simulate", *given, "simulation.steps=10", "hydra.run.dir=parts"]
    assert "continued from step 10" in sognet(*again, cwd=files)
    assert "with another seed" in sognet(*again, "seed=4", fails=True, cwd=files)
    (files / "start.extxyz").unlink()
    output = sognet("simulate", "resume=parts", "simulation.steps=20", "engine=ase", cwd=files)  # which it is already
    assert "continued from step 10" in output
    for name in ("trajectory.extxyz", "thermo.csv", "final.extxyz"):
        assert (files / "parts" / name).read_text() == (files / "whole" / name).read_text()
    assert sorted(p.name for p in (files / "whole").iterdir()) == [
        *(
            "config.yaml",
            "final.extxyz",
            "restart.npz",
            "simulate.log",
            "start.extxyz",
            "thermo.csv",
            "trajectory.extxyz",
        )
    ]
    assert "20 steps" not in sognet("simulate", "resume=parts", cwd=files)  # the new length is kept
    saved = OmegaConf.load(files / "parts" / "config.yaml")
    assert saved.simulation.steps == 20
    assert "trust" not in saved
    assert "seed cannot be changed" in sognet("simulate", "resume=parts", "seed=1", fails=True, cwd=files)
    saved_model(files / "a.ckpt", n_latent=1, seed=5)
    assert "another checkpoint" in sognet("simulate", "resume=parts", "simulation.steps=30", fails=True, cwd=files)


@pytest.mark.parametrize(("number", "code", "word"), [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "told to stop")])
def test_signals_save_and_say_how_to_continue(number, code, word, files):
    given = ["checkpoint=a.ckpt", "structure=start.extxyz", "simulation=nve", *SHORT, "simulation.steps=1000000"]
    command = [sys.executable, "-c", MAIN, "simulate", *given, "hydra.run.dir=stopped"]
    with (files / "output").open("w") as output:
        process = subprocess.Popen(command, cwd=files, stdout=output, stderr=output)
        waited = time.monotonic()
        while "velocities drawn" not in (files / "output").read_text() and time.monotonic() - waited < TIMEOUT:
            time.sleep(0.2)
        time.sleep(0.5)  # the simulation listens from its first step on
        process.send_signal(getattr(signal, number))
        assert process.wait(TIMEOUT) == code
    said = (files / "output").read_text()
    assert f"{word}; continue with sognet simulate resume={files / 'stopped'}" in said
    step = RestartState.read(files / "stopped").step
    frames = read(files / "stopped" / "trajectory.extxyz", ":")
    assert [frame.info["step"] for frame in frames] == list(range(0, step + 1, 5))
    steps = f"simulation.steps={step + 3}"
    assert f"continued from step {step}" in sognet("simulate", "resume=stopped", steps, cwd=files)


def test_committees_in_a_field_relax(files):
    saved_model(files / "b.ckpt", n_latent=1)
    output = sognet(
        "simulate", "checkpoint=[a.ckpt,b.ckpt]", "structure=start.extxyz", "simulation=relax", "simulation.steps=5",
        "simulation.every=1", "simulation.field=[0,0,0.1]", "hydra.run.dir=relaxed", cwd=files,
    )  # fmt: skip
    assert "not relaxed (simulation.fmax=0.01) after 5 steps" in output
    columns = columns_of(files / "relaxed" / "thermo.csv")
    assert len(columns["largest force uncertainty (eV/Å)"]) == 6
    assert len(read(files / "relaxed" / "trajectory.extxyz", ":")) == 6


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "sognet simulate needs structure=<file>"),
        (["structure=none.extxyz"], "none.extxyz"),
        (["structure=start.extxyz", "engine=gromacs"], "engine=gromacs: there is ase, "),
        (["structure=start.extxyz", "simulation.frame=4"], "has 1 frames"),
        (["structure=start.extxyz", "simulation.steps=ten"], "simulation.steps=ten: Input should be a valid integer"),
        (["structure=start.extxyz", "+simulation.stepps=3"], "no simulation.stepps; there are ensemble, steps"),
        (["structure=cluster.extxyz", "simulation=npt"], "not periodic, so there is no cell"),
        (["structure=copper.extxyz"], "copper.extxyz: the structure has Cu; the model knows Na, Cl"),
        (["resume=nowhere"], "no restart.npz"),
        (["structure=start.extxyz", "checkpoint=none.ckpt"], "none.ckpt: no such checkpoint"),
        (["structure=start.extxyz", "simulation.field=[0,1]"], "field must be three numbers in V/Å"),
    ],
)
def test_what_cannot_be_simulated_ends_in_a_line(given, said, files):
    write(files / "cluster.extxyz", random_atoms(pbc=False))
    copper = random_atoms()
    copper.numbers[:] = 29
    write(files / "copper.extxyz", copper)
    output = sognet("simulate", "checkpoint=a.ckpt", *given, fails=True, cwd=files)
    assert said in output
    assert "Traceback" not in output


def test_what_a_folder_trusts_does_not_count(files):
    """A stranger's folder cannot have its own module run by trusting it."""
    given = ["checkpoint=a.ckpt", "structure=start.extxyz", "simulation=nve", *SHORT, "simulation.steps=1e1"]
    sognet("simulate", *given, "hydra.run.dir=theirs", cwd=files)
    (files / "evil.py").write_text("open('ran', 'w')\n")
    checkpoint = torch.load(files / "a.ckpt", weights_only=True)
    checkpoint["sognet"]["model"]["short_range"]["class"] = "evil.Descriptor"
    torch.save(checkpoint, files / "a.ckpt")
    config = OmegaConf.load(files / "theirs" / "config.yaml")
    config.trust, config.hashes = ["evil"], [hashlib.sha256((files / "a.ckpt").read_bytes()).hexdigest()]
    OmegaConf.save(config, files / "theirs" / "config.yaml")
    resumed = ["simulate", "resume=theirs", "simulation.steps=2e1"]
    assert "trust=[evil]" in sognet(*resumed, fails=True, cwd=files)
    assert not (files / "ran").exists()
    sognet(*resumed, "trust=[evil]", fails=True, cwd=files)
    assert (files / "ran").exists()


def test_a_field_along_periodic_directions_is_said_to_have_no_energy(files):
    atoms = random_atoms()
    atoms.pbc = True, True, False
    write(files / "start.extxyz", atoms)
    given = ["checkpoint=a.ckpt", "structure=start.extxyz", "simulation=nve", *SHORT, "simulation.steps=5"]
    said = "the field has forces along periodic directions and no energy"
    assert said not in sognet("simulate", *given, "simulation.field=[0,0,0.1]", "hydra.run.dir=a", cwd=files)
    assert said in sognet("simulate", *given, "simulation.field=[0.1,0,0]", "hydra.run.dir=b", cwd=files)


def test_sweeps_have_a_trajectory_for_each_value(files):
    given = ["checkpoint=a.ckpt", "structure=start.extxyz", *SHORT, "simulation.steps=5", "hydra.sweep.dir=sweep"]
    sognet("simulate", "-m", *given, "seed=1,2", cwd=files)
    one, other = (read(files / "sweep" / name / "final.extxyz").positions for name in "01")
    assert np.abs(one - other).max() > 1e-3


def test_velocities_of_the_file_go_on(files):
    atoms = random_atoms()
    atoms.set_velocities(np.full((12, 3), 0.01))
    write(files / "start.extxyz", atoms)
    given = ["checkpoint=a.ckpt", "structure=start.extxyz", "simulation=nve", *SHORT]
    output = sognet("simulate", *given, "hydra.run.dir=a", cwd=files)
    assert "velocities of the file" in output
    momenta = read(files / "a" / "final.extxyz").get_momenta().sum(0)
    np.testing.assert_allclose(momenta, atoms.get_momenta().sum(0), atol=1e-6)
