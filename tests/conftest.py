import os
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # read by torch when it is imported

import pytest
import torch
from ase.io import write
from structures import labelled_atoms

from sognet.targets import TARGETS

os.environ["WANDB_MODE"] = "offline"  # whoever runs the tests


@pytest.fixture(autouse=True)
def _reproducible():
    torch.manual_seed(0)


ROWS = dict(TARGETS)


@pytest.fixture(autouse=True)
def _targets_of_one_test_only():
    """Rows that a test, or a page of the documentation that it runs, adds to the table of targets go with it."""
    yield
    TARGETS.clear()
    TARGETS.update(ROWS)


CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=CUDA)])
def device(request) -> str:
    """Where a numerical test computes: on the CPU, and on a GPU where there is one.

    Tests make their inputs and models on the CPU, so that both get the same, and move them.
    """
    if request.param == "cuda" and request.node.callspec.params.get("method") == "nufft":
        pytest.importorskip("cufinufft", reason="needs cufinufft", exc_type=ImportError)
    return request.param


@pytest.fixture
def double():
    """Double precision as the default for one test."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def reference_data():
    """Look up a file of the reference data; the test is skipped, by name, where it is not there."""

    def look_up(name: str) -> Path:
        root = os.environ.get("SOGNET_DATA")
        path = Path(root or ".") / name
        if root is None or not path.exists():
            pytest.skip(f"needs the reference data {name} under SOGNET_DATA")
        return path

    return look_up


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """Extended XYZ of 20 structures with random energies, forces and stress."""
    path = tmp_path_factory.mktemp("data") / "mine.xyz"
    structures = [labelled_atoms(6 + i % 4, seed=i) for i in range(20)]
    for atoms in structures:
        atoms.info["config_type"] = "bulk" if len(atoms) < 8 else "slab"
    write(path, structures, format="extxyz")
    return path
