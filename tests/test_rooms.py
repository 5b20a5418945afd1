"""The rooms of the package: imports point one way, modules are named after what they hold, simulation loads little."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import sognet

PACKAGE = Path(sognet.__file__).parent
FLOOR = {
    "errors": -1,
    "progress": -1,
    "periodicity": -1,
    "freed_memory": -1,
    "renamed_settings": 0,
    **dict.fromkeys(("extras", "interfaces", "targets", "trust", "nn"), 0),
    **dict.fromkeys(("long_range", "short_range", "data"), 1),
    "model": 2,
    "analysis": 3,
    **dict.fromkeys(("training", "evaluation", "simulation", "trajectories"), 4),
    "cli": 5,
}
"""Imports go to lower floors, or stay within a room."""

FILES = sorted(PACKAGE.rglob("*.py"))


def room(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def imported(file: Path) -> list[str]:
    """Modules of this package that a file imports, wherever in it."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    sources = [n for n in nodes if isinstance(n, ast.ImportFrom)]
    assert not any(n.level for n in sources), f"{file}: imports are absolute"
    names = [n.module for n in sources]
    names += [f"sognet.{alias.name}" for n in sources if n.module == "sognet" for alias in n.names]
    names += [alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names]
    return [name for name in names if name.startswith("sognet.") and not name.startswith("sognet.__")]


@pytest.mark.parametrize("file", FILES, ids=[str(f.relative_to(PACKAGE)) for f in FILES])
def test_imports_go_down(file):
    here = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if here == "__init__":
        return
    for name in imported(file):
        there = room(name)
        assert there == here or FLOOR[there] < FLOOR[here], f"{here} imports {name}"


@pytest.mark.parametrize("file", [f for f in FILES if f.name == "__init__.py"])
def test_no_exported_function_has_the_name_of_a_module(file):
    package = import_module(".".join(["sognet", *file.relative_to(PACKAGE).parts[:-1]]))
    modules = {f.stem for f in file.parent.glob("*.py")} | {f.name for f in file.parent.iterdir() if f.is_dir()}
    assert not modules & {name for name in getattr(package, "__all__", ()) if name.islower()}


@pytest.mark.parametrize("file", FILES, ids=[str(f.relative_to(PACKAGE)) for f in FILES])
def test_no_function_has_the_name_of_its_module(file):
    """But the program's `main`."""
    functions = [node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)]
    assert file.stem == "main" or file.stem not in functions


def test_the_command_line_answers_before_it_loads_torch():
    code = "import sys, sognet.cli.main; print([m for m in ('torch', 'lightning', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"


def test_the_calculator_loads_no_training():
    heavy = ("lightning", "hydra", "omegaconf", "matplotlib", "dpdata", "wandb", "pooch", "h5py")
    code = f"import sys, sognet.simulation; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"
