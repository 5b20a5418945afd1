"""`sognet label`: a file of structures becomes a file to train on."""

import csv
import json
import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from command import MAIN, sognet

from sognet.data import read_structures
from sognet.data.labelling.command import to_label, write_labelled
from sognet.data.labelling.labels import with_labels
from sognet.errors import InputError

OWN = ["calculator._target_=own_calculators.Spring", "trust=[own_calculators]"]


@pytest.fixture
def file(tmp_path):
    """Molecules with energies of another method; the fourth cannot be computed."""
    frames = [molecule("H2O") for _ in range(6)]
    for number, atoms in enumerate(frames):
        atoms.rattle(0.05, seed=number)
        atoms.info |= {"q": number % 2, "origin": f"run{number}"}
        atoms.calc = SinglePointCalculator(atoms, energy=-99.0, forces=np.ones((3, 3)))
    frames[3].positions[0, 0] = 6.0
    write(tmp_path / "new.xyz", frames, format="extxyz")
    return tmp_path / "new.xyz"


def test_a_file_is_labelled(file, tmp_path):
    folder = tmp_path / "run"
    run = [*OWN, "+calculator.accident=exception", "charge_key=q", f"path={file}", f"hydra.run.dir={folder}"]
    said = sognet("label", *run, "workers=2")
    assert "5 structures labelled" in said
    assert "1 failed, structure 3 for one (RuntimeError: SCF not converged)" in said
    frames = read(folder / "labelled.extxyz", ":")
    assert [atoms.info["origin"] for atoms in frames] == ["run0", "run1", "run2", "run4", "run5"]
    for structure in read_structures(folder / "labelled.extxyz"):
        expected = 0.5 * (structure.positions**2).sum() + structure.charge
        assert structure.energy == pytest.approx(expected, abs=1e-6)  # positions have eight digits
        assert structure.forces == pytest.approx(-structure.positions, abs=1e-7)
    with (folder / "failed.csv").open() as table:
        (row,) = csv.DictReader(table)
    assert (row["structure"], row["source"]) == ("3", f"{file}, frame 3")


def test_structures_that_cannot_exist_are_left_out_with_the_reason(file, tmp_path):
    frames = read(file, ":")
    frames[1].positions[1] = frames[1].positions[2]
    write(file, frames, format="extxyz")
    folder = tmp_path / "run"
    said = sognet("label", *OWN, "charge_key=q", f"path={file}", f"hydra.run.dir={folder}")
    assert said.index("1 of 6 frames cannot be used") < said.index("5 structures labelled")
    assert f"1 cannot be used, for one {file}, frame 1: atoms 1 and 2" in " ".join(said.split())
    assert [a.info["origin"] for a in read(folder / "labelled.extxyz", ":")] == [f"run{n}" for n in (0, 2, 3, 4, 5)]
    with (folder / "failed.csv").open() as table:
        (row,) = csv.DictReader(table)
    assert (row["structure"], row["source"]) == ("", f"{file}, frame 1")
    assert "apart" in row["reason"]


def test_velocities_and_own_columns_stay_and_results_of_other_methods_do_not(tmp_path):
    atoms = molecule("H2O")
    velocities = np.random.default_rng(0).normal(size=(3, 3))
    atoms.set_velocities(velocities)
    atoms.set_tags([1, 2, 3])
    atoms.set_array("mine", np.arange(3.0))
    atoms.info["origin"] = "run"
    others = {"energies": np.ones(3), "magmoms": np.ones(3), "magmom": 3.0, "dipole": np.ones(3)}
    atoms.calc = SinglePointCalculator(atoms, energy=-99.0, forces=np.ones((3, 3)), **others)
    write(tmp_path / "new.xyz", atoms, format="extxyz")
    (structure,) = read_structures(tmp_path / "new.xyz")
    frame = with_labels(to_label(structure), {"energy": -1.0, "forces": np.zeros((3, 3)).tolist()})
    write_labelled(tmp_path / "labelled.extxyz", [frame])
    written = read(tmp_path / "labelled.extxyz")
    assert written.get_velocities() == pytest.approx(velocities, abs=1e-7)
    assert written.get_tags().tolist() == [1, 2, 3]
    assert written.arrays["mine"].tolist() == [0.0, 1.0, 2.0]
    assert written.info == {"origin": "run", "charge": 0.0}
    assert set(written.calc.results) == {"energy", "forces"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "choose a calculator"),
        ([*OWN, "workers=0"], "workers must be a positive integer"),
        ([*OWN, "charge_key=total"], "no structure has `total`"),
        (["calculator=emt", "calculator.method=GFN1-xTB"], "method"),
    ],
)
def test_mistakes_are_said_in_a_line(arguments, message, file, tmp_path):
    said = sognet("label", *arguments, f"path={file}", f"hydra.run.dir={tmp_path / 'run'}", fails=True)
    assert message in said
    assert "Traceback" not in said


def test_a_full_disk_leaves_no_part_of_a_file(file, tmp_path):
    """A file of half the structures would be trained on without a word."""
    path, frames = tmp_path / "labelled.extxyz", read(file, ":")
    write_labelled(path, frames[:2])
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before), limits[1]))
    try:
        with pytest.raises(InputError, match=r"labelled\.extxyz: cannot be written \(File too large\); make room"):
            write_labelled(path, frames)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.slow
def test_a_run_that_is_told_to_stop_says_how_to_continue_and_leaves_no_process(file, tmp_path):
    folder = tmp_path / "run"
    arguments = [*OWN, "+calculator.accident=hang", "charge_key=q", f"path={file}", f"hydra.run.dir={folder}"]
    command = [sys.executable, "-c", MAIN, "label", *arguments, "workers=1"]
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, ["tests", os.environ.get("PYTHONPATH")]))}
    process = subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True)
    output, deadline = folder / "calculations" / "000003" / "output.txt", time.monotonic() + 120
    while not (output.exists() and output.read_text().endswith("\n")) and time.monotonic() < deadline:
        time.sleep(0.2)
    worker = int(output.read_text())
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert f"continue with the same command and hydra.run.dir={folder}" in said
    done = [json.loads(line) for line in (folder / "labels.jsonl").read_text().splitlines()[1:]]
    assert [line["number"] for line in done] == [0, 1, 2]
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
