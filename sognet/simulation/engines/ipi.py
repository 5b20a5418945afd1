"""The driver of i-PI: energies, forces and virials of a model through its socket, as `sognet ipi` runs it."""

import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.socketio import IPIProtocol, SocketClosed, actualunixsocketname
from omegaconf import DictConfig

from sognet.errors import InputError
from sognet.simulation.calculator import SOGNetCalculator
from sognet.simulation.initial_structure import first_atoms
from sognet.trust import trusted_names

PAUSE = 0.2
"""Seconds between two attempts to connect."""


def run_driver(config: DictConfig, find_checkpoints: Callable[[DictConfig], Sequence[Path]]) -> None:
    """Serve i-PI until it ends.

    Parameters
    ----------
    config : conf/ipi.yaml.
    find_checkpoints : gives the checkpoints that a configuration names.

    Raises
    ------
    InputError : no such file, no server, or a structure that the model cannot evaluate.
    """
    if not config.structure:
        raise InputError("sognet ipi needs structure=<file>, with the elements in the order of i-PI's atoms")
    if (config.unix is None) == (config.port is None):
        raise InputError("sognet ipi needs unix=<name>, or port=<number> with host=...: the address in i-PI's input")
    field = list(config.field) if config.field else None
    trust = trusted_names(config.trust)
    models = [str(path) for path in find_checkpoints(config)]
    if missing := [path for path in models if not Path(path).is_file()]:
        raise InputError(f"{missing[0]}: no such checkpoint")
    calculator = SOGNetCalculator(models, config.device, config.dtype, config.charge_key, trust, field)
    evaluator = calculator.evaluator
    atoms = first_atoms(config.structure, config.frame, config.format, evaluator.charge_key, "frame")
    stress = evaluator.structure(atoms, str(config.structure)).has_stress
    atoms.calc, calculator.with_stress = calculator, stress
    with _connected(config) as connection:
        print(f"{len(atoms)} atoms: connected to i-PI at {_address(config)}", flush=True)
        try:
            evaluations = serve(IPIProtocol(connection), atoms, stress)
        except OSError as error:
            raise InputError(f"the connection to i-PI at {_address(config)} broke ({error})") from error
    print(f"i-PI ended after {evaluations} evaluations", flush=True)


def serve(protocol: IPIProtocol, atoms: Atoms, stress: bool) -> int:
    """Give energy, forces and virial for the positions and cells that i-PI sends; how many, when it has ended.

    Parameters
    ----------
    protocol : of a connected socket.
    atoms : with calculator.
    stress : whether there is a virial; it is zero otherwise.

    Raises
    ------
    InputError : the positions are of another number of atoms, or cannot be evaluated.
    """
    evaluations, state, found = 0, "READY", ()
    while (message := _received(protocol)) != "EXIT":
        match message:
            case "STATUS":
                protocol.sendmsg(state)
            case "INIT":
                protocol.recvinit()
            case "POSDATA":
                cell, _, positions = protocol.recvposdata()
                found = _evaluated(atoms, cell, positions, stress)
                evaluations, state = evaluations + 1, "HAVEDATA"
            case "GETFORCE":
                protocol.sendforce(*found)
                state = "READY"
            case _:
                raise InputError(f"i-PI sent {message!r}, which this driver does not know")
    return evaluations


def _received(protocol: IPIProtocol) -> str:
    try:
        return protocol.recvmsg()
    except SocketClosed:  # as i-PI does at its end
        return "EXIT"


def _evaluated(atoms: Atoms, cell: np.ndarray, positions: np.ndarray, stress: bool) -> tuple[float, Any, Any]:
    if len(positions) != len(atoms):
        raise InputError(
            f"i-PI has {len(positions)} atoms, and structure=... has {len(atoms)}: give both the same structure, with "
            "the atoms in the same order"
        )
    atoms.set_cell(cell)
    atoms.positions[:] = positions
    virial = -atoms.get_volume() * atoms.get_stress(voigt=False) if stress else np.zeros((3, 3))
    return atoms.get_potential_energy(), atoms.get_forces(apply_constraint=False), virial


def _connected(config: DictConfig) -> socket.socket:
    """Connection to the server, for which it waits."""
    began = time.monotonic()
    unix = config.unix is not None
    address = actualunixsocketname(config.unix) if unix else (config.host, config.port)
    while True:
        connection = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
        try:
            connection.connect(address)
        except OSError as error:
            connection.close()
            if time.monotonic() - began > config.wait:
                raise InputError(
                    f"no i-PI at {_address(config)} within wait={config.wait:g} seconds ({error.strerror or error}): "
                    "start i-PI first, with the same address in its input"
                ) from error
            time.sleep(PAUSE)
        else:
            return connection


def _address(config: DictConfig) -> str:
    return actualunixsocketname(config.unix) if config.unix is not None else f"{config.host}:{config.port}"
