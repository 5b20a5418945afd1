"""Without an optional package, what needs it says how to install it, and the rest works."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from ase import Atoms
from simulations import NVE

from sognet import extras
from sognet.cli.main import run_prepare
from sognet.data import StructureDataModule, charge_transfer, kf_water, stream
from sognet.data.labelling.calculators import CalculatorSettings
from sognet.errors import InputError
from sognet.simulation.engines.lammps_library import start_lammps
from sognet.simulation.engines.openmm import OpenMMEngine
from sognet.simulation.engines.torch_sim import TorchSimEngine
from sognet.training.loggers.workspace import create_dashboard

EXTRAS = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.mark.parametrize(
    ("use", "extra"),
    [
        (lambda folder: stream(str(folder)), "stream"),
        (lambda folder: run_prepare(None), "stream"),
        (lambda folder: kf_water(root=folder), "generate"),
        (lambda folder: charge_transfer(root=folder), "quantum"),
        (lambda folder: CalculatorSettings("tblite.ase.TBLite").resolved(), "quantum"),
        (lambda folder: StructureDataModule(None, 4.0, neighbor_lists="device"), "neighbors"),
        (lambda folder: start_lammps(), "engines"),
        (lambda folder: OpenMMEngine(Atoms("Na"), NVE, None), "engines"),
        (lambda folder: TorchSimEngine(Atoms("Na"), NVE, None), "engines"),
        (lambda folder: create_dashboard("entity/project"), "dashboard"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(use, extra, tmp_path, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda package: None)
    with pytest.raises(InputError, match=rf"pip install 'sognet\[{extra}\]'"):
        use(tmp_path)
    assert extra in EXTRAS


def test_training_needs_no_extra():
    """What training and evaluation import, with every optional package out of reach."""
    missing = ["pyarrow", "openmm", "tensorboard", "wandb_workspaces", "optuna", "hydra_plugins", "lmdb", "submitit"]
    missing += ["lammps", "torch_sim", "ipi"]
    missing += ["nvalchemiops", "warp", "pytorch_optimizer", "tblite"]
    imports = "sognet.training.ensemble, sognet.evaluation.evaluate, sognet.simulation.command"
    code = f"import sys; sys.modules |= dict.fromkeys({missing}); import {imports}"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
