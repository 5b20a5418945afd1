"""`sognet ipi`: a server has the model's energies, forces and virials, and i-PI's dynamics are those of ASE."""

import socket
import subprocess
import sys
import threading
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.socketio import SocketClosed, SocketIOCalculator
from ase.constraints import FixAtoms
from ase.io import write
from command import TIMEOUT, sognet
from hydra import compose, initialize_config_dir
from simulations import NVE, begun
from structures import random_atoms, saved_model, small_model

from sognet import SOGNetCalculator
from sognet.cli.configuration import CONFIGURATION
from sognet.errors import InputError
from sognet.evaluation.checkpoints import find_checkpoints
from sognet.simulation.engines.ipi import run_driver, serve
from sognet.simulation.initial_structure import draw_velocities

INPUT = """
<simulation verbosity='low'>
  <output prefix='run'>
    <properties filename='out' stride='50'> [ step, potential{{electronvolt}}, conserved{{electronvolt}} ] </properties>
    <checkpoint filename='last' stride='100' overwrite='True'/>
  </output>
  <total_steps>100</total_steps>
  <ffsocket name='model' mode='unix' pbc='False'><address>{address}</address><latency>1e-3</latency></ffsocket>
  <system>
    <initialize nbeads='1'>
      <positions mode='manual'> [ {positions} ] </positions>
      <labels mode='manual'> [ {symbols} ] </labels>
      <masses mode='manual' units='dalton'> [ {masses} ] </masses>
      <velocities mode='manual'> [ {velocities} ] </velocities>
      <cell mode='manual'> [ {cell} ] </cell>
    </initialize>
    <forces><force forcefield='model'/></forces>
    <motion mode='dynamics'>
      <fixcom>False</fixcom>
      <dynamics mode='nve'><timestep units='femtosecond'> 1.0 </timestep></dynamics>
    </motion>
    <ensemble><temperature units='kelvin'> 300 </temperature></ensemble>
  </system>
</simulation>
"""
ATOMIC_VELOCITY = units.Bohr / (units._hbar / units._e / units.Ha * units.s)


@pytest.fixture
def files(tmp_path):
    saved_model(tmp_path / "a.ckpt", n_latent=1)
    write(tmp_path / "start.extxyz", random_atoms())
    return tmp_path


class Driver(threading.Thread):
    """`sognet ipi` beside a server in the test."""

    def __init__(self, folder: Path, *where: str) -> None:
        super().__init__(daemon=True)
        with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
            given = [f"structure={folder / 'start.extxyz'}", *where, "dtype=float64", "device=cpu"]
            self.config = compose("ipi", [f"checkpoint={folder / 'a.ckpt'}", *given, "folder=here"])
        self.error: InputError | None = None
        self.start()

    def run(self) -> None:
        try:
            run_driver(self.config, find_checkpoints)
        except InputError as error:
            self.error = error


def numbers(values) -> str:
    return ", ".join(f"{value:.15g}" for value in np.ravel(values))


@pytest.mark.parametrize("pbc", [True, (True, True, False), False])
def test_a_server_has_the_energies_forces_and_stresses_of_the_model(pbc, files, capsys):
    start, name = random_atoms(pbc=pbc), f"sognet_{uuid.uuid4().hex[:8]}"
    write(files / "start.extxyz", start)
    with SocketIOCalculator(unixsocket=name) as server:
        driver = Driver(files, f"unix={name}")
        for seed in (1, 2):
            atoms = start.copy()
            atoms.rattle(0.1, seed=seed)
            if all(start.pbc):
                atoms.set_cell(atoms.cell.array * 1.01, scale_atoms=True)
            expected = atoms.copy()
            expected.calc, atoms.calc = SOGNetCalculator(files / "a.ckpt", dtype="float64"), server
            assert atoms.get_potential_energy() == pytest.approx(expected.get_potential_energy(), abs=1e-8)
            np.testing.assert_allclose(atoms.get_forces(), expected.get_forces(), atol=1e-8)
            if start.pbc.any():
                np.testing.assert_allclose(atoms.get_stress(), expected.get_stress(), atol=1e-9)
    driver.join(TIMEOUT)
    assert driver.error is None
    assert "i-PI ended after 2 evaluations" in capsys.readouterr().out


def test_a_server_on_the_network_has_the_forces_in_a_field_also_of_fixed_atoms(files):
    start = random_atoms(pbc=False)
    start.set_constraint(FixAtoms([3]))
    write(files / "start.extxyz", start)
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    with SocketIOCalculator(port=port) as server:
        driver = Driver(files, "host=localhost", f"port={port}", "field=[0,0,0.5]")
        atoms, expected = start.copy(), start.copy()
        atoms.calc = server
        expected.calc = SOGNetCalculator(files / "a.ckpt", dtype="float64", field=[0, 0, 0.5])
        ours, theirs = (a.get_forces(apply_constraint=False) for a in (atoms, expected))
        np.testing.assert_allclose(ours, theirs, atol=1e-8)
        assert np.abs(theirs[3]).max() > 1e-3
    driver.join(TIMEOUT)
    assert driver.error is None


class Messages:
    """What a server sends, one message after the other, and what it gets."""

    def __init__(self, *messages: str, atoms: Atoms | None = None) -> None:
        self.messages, self.atoms, self.got = [*messages], atoms, []

    def recvmsg(self) -> str:
        return self.messages.pop(0)

    def sendmsg(self, message: str) -> None:
        self.got.append(message)

    def recvinit(self) -> tuple[int, bytes]:
        return 0, b""

    def recvposdata(self) -> tuple[np.ndarray, None, np.ndarray]:
        return self.atoms.cell.array, None, self.atoms.positions

    def sendforce(self, energy: float, forces: np.ndarray, virial: np.ndarray) -> None:
        self.got.append("FORCES")


def test_the_driver_says_what_it_has_and_refuses_what_it_does_not_know():
    atoms = random_atoms()
    atoms.calc = SOGNetCalculator(small_model(n_latent=1), dtype="float64")
    talk = Messages("STATUS", "INIT", "STATUS", "POSDATA", "STATUS", "GETFORCE", "STATUS", "EXIT", atoms=atoms)
    assert serve(talk, atoms, stress=True) == 1
    assert talk.got == ["READY", "READY", "HAVEDATA", "FORCES", "READY"]
    with pytest.raises(InputError, match="i-PI sent 'PAUSE', which this driver does not know"):
        serve(Messages("PAUSE"), atoms, stress=True)


def test_dynamics_of_ipi_are_those_of_ase(files):
    pytest.importorskip("ipi")
    atoms = random_atoms()
    draw_velocities(atoms, 300.0, np.random.default_rng(0))
    name = f"sognet_{uuid.uuid4().hex[:8]}"
    values = {
        "address": name,
        "symbols": ", ".join(atoms.symbols),
        "masses": numbers(atoms.get_masses()),
        "positions": numbers(atoms.positions / units.Bohr),
        "velocities": numbers(atoms.get_velocities() / ATOMIC_VELOCITY),
        "cell": numbers(atoms.cell.array.T / units.Bohr),
    }
    (files / "input.xml").write_text(INPUT.format(**values))
    with (files / "ipi").open("w") as output:
        server = subprocess.Popen(
            [Path(sys.executable).with_name("i-pi"), "input.xml"], cwd=files, stdout=output, stderr=output
        )
    driver = Driver(files, f"unix={name}")
    assert server.wait(TIMEOUT) == 0, (files / "ipi").read_text()
    driver.join(TIMEOUT)
    assert driver.error is None
    simulation = begun(files / "ase", replace(NVE, steps=100, every=50), atoms)
    simulation.run()
    energies = np.loadtxt(files / "run.out")[:, 1]
    np.testing.assert_allclose(energies, simulation.columns["potential energy (eV)"], atol=1e-6)
    checkpoint = next(files.glob("run.last*")).read_text()
    positions = checkpoint.partition("<q shape")[2].partition("[")[2].partition("]")[0]
    found = np.array(positions.split(","), dtype=float).reshape(-1, 3) * units.Bohr
    np.testing.assert_allclose(found, simulation.atoms.positions, atol=1e-5)


def test_what_cannot_be_driven_ends_in_a_line(files):
    given = ["ipi", "checkpoint=a.ckpt", "structure=start.extxyz", "wait=0.1", "device=cpu"]
    assert "sognet ipi needs unix=<name>, or port=" in sognet(*given, fails=True, cwd=files)
    said = sognet(*given, "unix=nowhere", fails=True, cwd=files)
    assert "error: no i-PI at /tmp/ipi_nowhere within wait=0.1 seconds" in said
    assert "Traceback" not in said
    name = f"sognet_{uuid.uuid4().hex[:8]}"
    with SocketIOCalculator(unixsocket=name) as server:
        driver = Driver(files, f"unix={name}")
        atoms = random_atoms(5)
        atoms.calc = server
        with pytest.raises((SocketClosed, ConnectionResetError)):
            atoms.get_potential_energy()
        driver.join(TIMEOUT)
    assert "i-PI has 5 atoms, and structure=... has 12" in str(driver.error)
