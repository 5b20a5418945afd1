"""Output that is not UTF-8, that nobody reads, and folders that cannot be made."""

import os
import subprocess
import sys

import pytest
from command import MAIN

pytestmark = pytest.mark.slow


def test_what_an_encoding_does_not_have_is_replaced():
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    code = "from sognet.cli.streams import replace_unencodable; replace_unencodable(); print('meV/Å')"
    code += "; from rich import print; print('σ')"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["meV/?", "?"]


def test_a_closed_pipe_ends_the_command_without_a_word():
    command = f"set -o pipefail; {sys.executable} -c '{MAIN}' configuration | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 141
    assert done.stdout == ""
    assert done.stderr == ""


@pytest.mark.parametrize("command", [["train", "dataset.path=a.xyz"], ["train", "-m", "seed=1,2", "dataset.path=a.xyz"],
                                     ["data", "inspect", "dataset.path=a.xyz"]])  # fmt: skip
def test_a_folder_that_cannot_be_made_is_named_with_the_remedy(tmp_path, command):
    (tmp_path / "file").touch()
    arguments = [sys.executable, "-c", MAIN, *command, f"paths.outputs={tmp_path}/file"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "cannot be made (Not a directory); choose another, paths.outputs=<folder>" in done.stderr
    assert "Traceback" not in done.stderr
