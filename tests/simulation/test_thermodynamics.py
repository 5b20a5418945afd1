"""Lines of thermo.csv, and what a run says of them."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from simulations import TURN
from springs import spring_crystal

from sognet.simulation.files import columns_of, line_of
from sognet.simulation.initial_structure import draw_velocities
from sognet.simulation.thermodynamics import CONSERVED, TEMPERATURE, TIME, drift, pressure, summary_of


def stressed(pbc, turn: np.ndarray) -> Atoms:
    """Atoms with the stresses 1, 2 and 6 GPa along their vectors, which move along the first and the last."""
    atoms = Atoms("Ar2", positions=[[0, 0, 0], [1, 2, 3]], cell=np.diag([4.0, 5.0, 6.0]), pbc=pbc)
    atoms.set_velocities([[0.02, 0.0, 0.01], [-0.02, 0.0, -0.01]])
    atoms.set_cell(atoms.cell.array @ turn, scale_atoms=True)
    atoms.set_momenta(atoms.get_momenta() @ turn)
    stress = turn.T @ np.diag([1.0, 2.0, 6.0]) @ turn * units.GPa
    atoms.calc = SinglePointCalculator(atoms, stress=stress.ravel()[[0, 4, 8, 5, 2, 1]])
    return atoms


@pytest.mark.parametrize("turn", [np.eye(3), TURN])
@pytest.mark.parametrize(
    ("pbc", "static", "moving"),
    [
        ((True, True, True), -3.0, (0.02**2 + 0.01**2) / 3),
        ((True, True, False), -1.5, 0.02**2 / 2),
        ((False, False, True), -6.0, 0.01**2),
    ],
)
def test_the_pressure_is_that_along_the_periodic_directions(pbc, static, moving, turn):
    """Minus their mean stress, and Σ m v² / V per direction."""
    atoms = stressed(pbc, turn)
    assert pressure(atoms, kinetic=False) == pytest.approx(static)
    ideal = 2 * atoms.get_masses()[0] * moving / (4 * 5 * 6) / units.GPa
    assert pressure(atoms, kinetic=True) == pytest.approx(static + ideal)


def test_the_drift_is_the_slope_of_the_conserved_energy_of_an_atom():
    """3 meV per ps of ten atoms, on a total energy that is large, with an oscillation."""
    times = np.linspace(0, 10, 201)
    columns = {TIME: times, CONSERVED: -1e5 + 0.003 * times + 0.001 * np.cos(2 * np.pi * times)}
    assert drift(columns, 10) == pytest.approx(0.3, rel=0.01)
    assert drift({TIME: times[:2], CONSERVED: times[:2]}, 10) is None
    assert drift({TIME: times}, 10) is None


def test_the_mean_temperature_is_that_of_the_second_half():
    columns = {TEMPERATURE: [900.0, 800.0, 700.0, 300.0, 310.0, 290.0]}
    assert "mean temperature 300 K in the second half (fluctuates by 8 K)" in summary_of(columns, 4)


def test_a_table_keeps_a_millivolt_of_a_megavolt(tmp_path):
    """Total energies of large systems are that large, and their drift is small."""
    values = [{"step": k, "energy (eV)": -1234567.891 + 0.001 * k} for k in range(3)]
    path = tmp_path / "thermo.csv"
    path.write_text("".join(line_of(v, header=not k) for k, v in enumerate(values)))
    np.testing.assert_allclose(np.diff(columns_of(path)["energy (eV)"]), 0.001, atol=1e-6)
    assert columns_of(path)["step"] == [0, 1, 2]


def test_drawn_velocities_share_the_temperature_among_light_and_heavy_atoms():
    """Each element has 3/2 kT per atom, but for the error of so many."""
    atoms = Atoms("HI" * 2000)
    draw_velocities(atoms, 300.0, np.random.default_rng(0))
    energies = 0.5 * (atoms.get_momenta() ** 2).sum(1) / atoms.get_masses()
    for element in ("H", "I"):
        mean = energies[atoms.symbols == element].mean()
        assert mean == pytest.approx(1.5 * units.kB * 300.0, rel=0.06)  # three standard errors


def test_velocities_have_no_drift_where_masses_differ():
    """The common velocity is taken off, not the common momentum: light atoms keep theirs."""
    atoms = spring_crystal(2)
    atoms.set_masses([1000.0, *[1.0] * 7])
    draw_velocities(atoms, 300.0, np.random.default_rng(0))
    np.testing.assert_allclose(atoms.get_momenta().sum(0), 0, atol=1e-12)
