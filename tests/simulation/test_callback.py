"""What a library that calls back gets of the atoms of a simulation."""

import numpy as np
import pytest
from springs import spring_crystal

from sognet.errors import InputError
from sognet.simulation.engines.callback import Callback


def counted(callback: Callback) -> list[int]:
    """A number for each evaluation that follows."""
    calculator, calls = callback.atoms.calc, []
    calculate = calculator.calculate
    calculator.calculate = lambda *args, **kwargs: calls.append(1) or calculate(*args, **kwargs)
    return calls


def test_a_cell_alone_moves_as_well():
    callback = Callback(spring_crystal(), stress=True)
    positions, cell = callback.atoms.get_positions(), 1.1 * callback.atoms.cell.array
    found = callback(positions, cell)
    other = spring_crystal()
    other.set_cell(cell)
    assert found.energy == pytest.approx(other.get_potential_energy())
    np.testing.assert_allclose(found.stress, other.get_stress(voigt=False))


def test_what_moves_by_rounding_alone_is_not_evaluated_again():
    callback = Callback(spring_crystal(), stress=False)
    positions, cell = callback.atoms.get_positions(), callback.atoms.cell.array.copy()
    first, calls = callback(positions), counted(callback)
    again = callback(positions + 1e-12, cell + 1e-12)
    assert again.energy == first.energy
    assert not calls
    np.testing.assert_array_equal(callback.atoms.positions, positions)
    callback(positions + 1e-8)
    assert len(calls) == 1


def test_an_error_is_raised_once_and_gives_no_forces_until_then():
    callback = Callback(spring_crystal(), stress=True)
    positions, calculate = callback.atoms.get_positions(), callback.atoms.calc.calculate

    def fails(*args, **kwargs):
        raise InputError("no forces")

    callback.atoms.calc.calculate = fails
    for _ in range(2):
        found = callback(positions + 0.1)
        assert (found.energy, np.abs(found.forces).max(), np.abs(found.stress).max()) == (0.0, 0.0, 0.0)
        callback.atoms.calc.calculate = calculate
    with pytest.raises(InputError, match="no forces"):
        callback.check()
    callback.check()
    assert callback(positions + np.eye(27, 3)).energy > 0
