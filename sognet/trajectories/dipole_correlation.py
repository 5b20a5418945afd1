"""Dipole density correlation of water along an axis, for interfaces: what [SOG-Net] compares across slabs.

    D_z(k_z) = ⟨|Σ_i μ_iz exp(−i k_z z_i)|²⟩ / N,    μ_i = Σ_{h∈i} q_h (r_h − r_O),

over the N molecules i with their oxygen at z_i. Molecules that do not feel each other have ⟨μ²⟩/3 at every k_z. In
three periodic directions linear response gives

    N D_z(k_z) / (ε₀ V k_B T) → 1 − 1/ε as k_z → 0,

and without long range about ε − 1 in place of it.
"""

import numpy as np
from ase import units

from sognet.errors import InputError
from sognet.long_range import COULOMB_CONSTANT
from sognet.trajectories.axis import Axis
from sognet.trajectories.blocks import Blocks
from sognet.trajectories.displacement import with_error
from sognet.trajectories.frames import Frame
from sognet.trajectories.results import Curve, Panel, Result
from sognet.trajectories.water import lacks_water, water_molecules

K_MAX = 3.0
"""1/Å, largest wave number where none is given."""


class DipoleCorrelation:
    """Dipole density correlation along an axis.

    Parameters
    ----------
    first : first frame, with water and charges.
    n_blocks : for errors.
    axis : lattice vector 0, 1 or 2; None: the open one.
    k_max : 1/Å; None: 3.

    Raises
    ------
    InputError : there is no water, there are no charges, the other two directions are not periodic, or k_max is below
        the first wave number.
    """

    def __init__(self, first: Frame, n_blocks: int, axis: int | None = None, k_max: float | None = None) -> None:
        if reason := lacks_dipoles(first):
            raise InputError(f"{first.source}: dipole_correlation needs {reason}")
        self.axis = Axis("dipole_correlation", first, axis, width=1.0)
        self.is_bulk = bool(first.pbc.all())
        self.length = self.axis.height(first) if self.axis.is_periodic else 2 * np.ptp(self.axis.coordinates(first))
        count = int((k_max or K_MAX) * self.length / (2 * np.pi) + 1e-9)
        if not count:
            raise InputError(
                f"dipole_correlation: the first wave number is {2 * np.pi / self.length:.3g} 1/Å; set k_max larger"
            )
        self._modes = np.arange(1, count + 1)
        self._correlation, self._response = (Blocks((count,), n_blocks) for _ in range(2))
        self._height, self._temperature = Blocks((), n_blocks), Blocks((), n_blocks)

    def add(self, frame: Frame) -> None:
        """Sum the dipoles of a frame."""
        if frame.charges is None:
            raise InputError(f"{frame.source}: no charges, which earlier frames have")
        waters = water_molecules(frame)
        if not len(waters.oxygens):
            raise InputError(f"{frame.source}: no water, which earlier frames have")
        dipoles = np.einsum("ih,ihx->ix", frame.charges[waters.hydrogens], waters.bonds) @ self.axis.normal(frame)
        length = self.axis.height(frame) if self.axis.is_periodic else self.length
        places = self.axis.coordinates(frame)[waters.oxygens] * self.axis.height(frame) / length
        squares = np.abs(np.exp(-2j * np.pi * np.outer(self._modes, places)) @ dipoles) ** 2
        self._correlation.add(frame.index, squares / len(dipoles))
        self._response.add(frame.index, 4 * np.pi * COULOMB_CONSTANT * squares / frame.volume)  # eV
        self._height.add(frame.index, np.asarray(length))
        if frame.temperature is not None:
            self._temperature.add(frame.index, np.asarray(frame.temperature))

    def result(self) -> Result:
        """The correlation by wave number, and the response of bulk water where the temperature is known."""
        k = 2 * np.pi * self._modes / float(self._height.mean)
        values, errors = self._correlation.mean, self._correlation.error
        panels = [Panel("D", "e²Å²", [Curve("", values, errors)])]
        said = f"D = {with_error(values[0], errors[0])} e²Å² at the smallest k, {k[0]:.3g} 1/Å"
        numbers = {"smallest k (1/Å)": k[0], "D (e²Å²)": values[0], "error (e²Å²)": errors[0]}
        temperature = float(self._temperature.mean)
        if self.is_bulk and temperature > 0:
            thermal = units.kB * temperature
            ratio, error = self._response.mean / thermal, self._response.error / thermal
            panels.append(Panel("response", "", [Curve("", ratio, error)]))
            said += f"; its response is {with_error(ratio[0], error[0])} (1 − 1/ε as k goes to 0)"
            numbers |= {"response": ratio[0], "response error": error[0], "temperature (K)": temperature}
        return Result("k", "1/Å", k, panels, [f"dipole correlation: {said}"], numbers)


def lacks_dipoles(first: Frame) -> str:
    """What a frame lacks for dipoles of water; empty: nothing."""
    return lacks_water(first) or ("" if first.charges is not None else "charges; set charges={O: -0.82, H: 0.41}")
